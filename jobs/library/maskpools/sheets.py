"""Pictures of a mask pool: its elements, what experts are asked to rate, and where masks would go."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.drawing.sheets import (
    Color,
    Tile,
    class_colors,
    contact_sheet,
    fit,
    grouped_sheet,
    outline,
    spread_evenly,
    to_rgb,
)
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.placing.planning import PlannedMask
from anomaly_gan.masks.pool.index import ElementEntry, MaskPoolIndex
from anomaly_gan.masks.pool.pool import Mask, MaskPool
from anomaly_gan.masks.rating.rating_sheet import SheetMask, rating_sheet
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.maskpools.store import check_pool, load_pool, read_masks

DARK, LEFT_OUT = 40, (110, 110, 110)
FRAME, REGION = (200, 200, 200), (110, 160, 110)
"""Colours of windows, and of regions and anchors."""
TILE_PX = 192
ELEMENT_PX = 144
"""Side of a tile; wide enough for the id of an expert mask below it."""
SHAPE_PX = 128
COLUMNS = 8
ORIGINS: tuple[Literal["prior", "expert"], ...] = ("prior", "expert")
MARGIN_PX = 32


@dataclass(frozen=True)
class PreviewPlan:
    """What `agan masks preview` draws.

    Attributes:
        dataset: NAME or NAME@VERSION; its normal pictures of the training split.
        class_name: of the pool.
        view: as a training or generation would see the pictures.
        masks: the rules of placement.
        count: how many masks.
        seed: of the generate job whose first masks these would be.
    """

    dataset: str
    class_name: str
    view: ViewConfig
    masks: MaskConfig
    count: int
    seed: int


def draw_elements(storage: Storage, index: MaskPoolIndex, *, per_class: int) -> NDArray[np.uint8]:
    """Contact sheet [H, W, 3] RGB: of each class rows of prior elements, then of experts', those left out in grey."""
    masks, colors = read_masks(storage, index), class_colors(index.classes)
    groups = [
        [_element_tile(entry, masks[entry.id], colors[name]) for entry in spread_evenly(entries, per_class)]
        for name in index.classes
        for entries in (index.select(name, origin) for origin in ORIGINS)
    ]
    return grouped_sheet(groups, min(per_class, COLUMNS), ELEMENT_PX)


def _element_tile(entry: ElementEntry, mask: Mask, color: Color) -> Tile:
    """The tile of an element; an expert's has its id below it, by which it is rated."""
    label = entry.id if entry.origin == "expert" else f"{entry.class_name}, {entry.area_px} px"
    return label, _shape(mask, ELEMENT_PX, color if entry.admitted else LEFT_OUT)


def _shape(mask: Mask, side: int, color: Color) -> NDArray[np.uint8]:
    """[side, side, 3]: the shape as large as it fits, in the middle."""
    inner = fit(mask, side - 8, is_mask=True)
    return _framed(np.where(inner[:, :, None], np.array(color, np.uint8), np.uint8(DARK)), side)


def _framed(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """[side, side, 3]: a smaller picture [h, w, 3] in the middle."""
    height, width = picture.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    framed = np.full((side, side, 3), DARK, np.uint8)
    framed[top : top + height, left : left + width] = picture
    return framed


def draw_rating_sheet(storage: Storage, index: MaskPoolIndex) -> tuple[str, int]:
    """(HTML page, masks to rate): each expert mask as a shape, and outlined on a normal picture where it was drawn.

    Raises:
        DataError: the pool has no expert mask.
    """
    entries = [entry for entry in index.elements if entry.origin == "expert"]
    if not entries:
        raise DataError(f"mask pool {index.name}: has no expert mask to rate; build it with --expert FOLDER")
    masks, colors = read_masks(storage, index), class_colors(index.classes)
    normals = load_samples(storage, load_index(storage, index.dataset), split="train", classes=())
    sheet = []
    for number, entry in enumerate(entries):
        mask, color = masks[entry.id], colors[entry.class_name]
        placed = _on_picture(normals[number % len(normals)], entry, mask, color)
        thumbnail = np.concatenate([_shape(mask, SHAPE_PX, color), placed], axis=1)
        note = f"{entry.area_px} px, {entry.width} x {entry.height}, {entry.source}"
        sheet.append(SheetMask(entry.id, entry.class_name, thumbnail, note))
    return rating_sheet(f"Mask pool {index.name}", sheet), len(sheet)


def _on_picture(normal: Sample, entry: ElementEntry, mask: Mask, color: Color) -> NDArray[np.uint8]:
    """[SHAPE_PX, SHAPE_PX, 3]: the mask's outline in a square of the picture, with what lies around it."""
    height, width = normal.image.shape[:2]
    rows, columns = min(entry.height, height), min(entry.width, width)
    top, left = _within(entry.top, height - rows), _within(entry.left, width - columns)
    whole = np.zeros((height, width), np.uint8)
    whole[top : top + rows, left : left + columns] = mask[:rows, :columns]
    side = max(rows, columns) + 2 * max(MARGIN_PX, rows // 2, columns // 2)
    y, x = _within(top + (rows - side) // 2, height - side), _within(left + (columns - side) // 2, width - side)
    cut = np.s_[y : y + side, x : x + side]
    around, shape = fit(normal.image[cut], SHAPE_PX), fit(whole[cut], SHAPE_PX, is_mask=True)
    return _framed(outline(around, shape, color), SHAPE_PX)


def _within(start: int, last: int) -> int:
    """A start moved into 0..last; 0 where there is no room."""
    return max(min(start, last), 0)


def draw_preview(storage: Storage, index: MaskPoolIndex, plan: PreviewPlan) -> NDArray[np.uint8]:
    """Contact sheet [H, W, 3] RGB of normal pictures with planned masks, and what is known of where they may go.

    Raises:
        UsageError: the pool was not made for the data set, or has no such class.
        PlacementError: a rule is not met; names the element and the rule.
    """
    return contact_sheet(list(_previews(storage, index, plan)), 6, TILE_PX)


def _previews(storage: Storage, index: MaskPoolIndex, plan: PreviewPlan) -> Iterator[Tile]:
    dataset = load_index(storage, plan.dataset)
    check_pool(index, plan.class_name, dataset)
    pool, color = load_pool(storage, index, plan.class_name), class_colors(index.classes)[plan.class_name]
    normals = load_samples(storage, dataset, split="train", classes=())
    generation = GenerationPlan(normals, pool, plan.view, plan.masks, GenerationConfig(seed=plan.seed))
    for number in range(plan.count):
        image = generation.planned(number)
        score = "" if image.mask.rationality is None else f", rationality {image.mask.rationality:.2f}"
        yield f"{cv2.countNonZero(image.mask.mask)} px{score}", _whole_picture(image.normal, image.mask, pool, color)


def _whole_picture(normal: Sample, planned: PlannedMask, pool: MaskPool, color: Color) -> NDArray[np.uint8]:
    """[H, W, 3]: the mask outlined where it lies in the whole picture; the region, the anchors and the window."""
    mask = planned.mask
    left, top, size = planned.view.meta.get("window", (0, 0, len(mask)))
    height, width = normal.image.shape[:2]
    whole = np.zeros((max(height, top + size), max(width, left + size)), np.uint8)
    whole[top : top + size, left : left + size] = mask
    scale = TILE_PX / max(height, width)
    image, allowed = to_rgb(fit(normal.image, TILE_PX)), pool.allowed(normal)
    if allowed is not None:
        image = outline(image, 1 - fit(1 - allowed, TILE_PX, is_mask=True), REGION)
    frames = [(box, REGION) for box in pool.anchors.get(normal.key, ())]
    if "window" in planned.view.meta:
        frames.append(((left, top, size, size), FRAME))
    for (x, y, wide, high), line in frames:
        first, last = ((round(a * scale), round(b * scale)) for a, b in ((x, y), (x + wide, y + high)))
        cv2.rectangle(image, first, last, line, 1)
    return outline(image, fit(whole[:height, :width], TILE_PX, is_mask=True), color)
