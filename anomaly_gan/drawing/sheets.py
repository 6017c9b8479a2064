"""Contact sheets: pictures in a grid with mask outlines, so that a person can judge a set at one glance."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from anomaly_gan.samples.sample import Sample
from infra.errors import UsageError

Color = tuple[int, int, int]
Tile = tuple[str, NDArray[np.uint8]]
Entry = TypeVar("Entry")

COLORS: tuple[Color, ...] = (
    (255, 64, 64),
    (64, 200, 255),
    (255, 200, 0),
    (96, 230, 96),
    (240, 110, 240),
    (255, 140, 40),
    (130, 150, 255),
    (0, 220, 190),
)
"""RGB; bright enough for grey pictures, and apart from each other for most colour-blind readers."""

BACKGROUND: Color = (24, 24, 24)
TEXT: Color = (235, 235, 235)
LABEL_PX = 20
FONT_PX = 13
GAP_PX = 6


def class_colors(classes: Iterable[str]) -> dict[str, Color]:
    """One colour per class, by alphabet; the colours repeat after the eighth class."""
    return {name: COLORS[i % len(COLORS)] for i, name in enumerate(sorted(classes))}


def to_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] uint8 -> a new [H, W, 3]."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image.copy()


def outline(image: NDArray[np.uint8], mask: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    """Draw the line of pixels just outside a mask, so that the anomaly itself stays visible.

    Args:
        image: [H, W] or [H, W, 3] uint8.
        mask: [H, W] {0, 1}.
        color: RGB.

    Returns:
        A new [H, W, 3] uint8.
    """
    drawn = to_rgb(image)
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8))
    drawn[(grown > 0) & (mask == 0)] = color
    return drawn


def fit(image: NDArray[np.uint8], side: int, *, is_mask: bool = False) -> NDArray[np.uint8]:
    """Scale so that the longer side is `side`, keeping the aspect; a mask [H, W] {0, 1} keeps every part."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    if is_mask:  # any anomalous pixel under the new one counts: small anomalies must not vanish from a sheet
        return (cv2.resize(image.astype(np.float32), size, interpolation=method) > 0).astype(np.uint8)
    return cv2.resize(image, size, interpolation=method).astype(np.uint8)


def sample_tile(sample: Sample, side: int, colors: dict[str, Color], title: str | None = None) -> Tile:
    """A sample at the size of a tile with its masks outlined; the title names its classes unless given."""
    image = to_rgb(fit(sample.image, side))
    for name, mask in sorted(sample.masks.items()):
        image = outline(image, fit(mask, side, is_mask=True), colors[name])
    return title or f"{', '.join(sorted(sample.masks)) or 'normal'}: {sample.key}", image


def spread_evenly(entries: Sequence[Entry], wanted: int) -> list[Entry]:
    """At most `wanted` of the entries, spread evenly over them, in their order."""
    steps = min(wanted, len(entries))
    return [entries[i * len(entries) // steps] for i in range(steps)]


def contact_sheet(tiles: Sequence[Tile], columns: int, tile_px: int) -> NDArray[np.uint8]:
    """One group of tiles, as `grouped_sheet` draws it, no wider than they need."""
    return grouped_sheet([tiles], min(columns, len(tiles)), tile_px)


def grouped_sheet(groups: Sequence[Sequence[Tile]], columns: int, tile_px: int) -> NDArray[np.uint8]:
    """Lay tiles out row by row, each with its label below; every group begins a row of its own.

    Args:
        groups: of (label, [H, W] or [H, W, 3] uint8); scaled to fit where needed.
        columns: tiles of a full row.
        tile_px: side of a tile.

    Returns:
        [H, W, 3] RGB uint8.

    Raises:
        UsageError: no tiles, or no columns.
    """
    tiles = sum(map(len, groups))
    if tiles == 0 or columns < 1:
        raise UsageError(f"contact sheet: needs at least one tile and one column, got {tiles} and {columns}")
    rows = [group[start : start + columns] for group in groups for start in range(0, len(group), columns)]
    step_x, step_y = tile_px + GAP_PX, tile_px + LABEL_PX + GAP_PX
    sheet = Image.new("RGB", (columns * step_x + GAP_PX, len(rows) * step_y + GAP_PX), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(FONT_PX)
    for i, row in enumerate(rows):
        for j, (label, image) in enumerate(row):
            x, y = GAP_PX + j * step_x, GAP_PX + i * step_y
            fitted = to_rgb(image if max(image.shape[:2]) == tile_px else fit(image, tile_px))
            height, width = fitted.shape[:2]
            sheet.paste(Image.fromarray(fitted), (x + (tile_px - width) // 2, y + (tile_px - height) // 2))
            draw.text((x + 2, y + tile_px + 2), _shortened(label, tile_px - 4, font), fill=TEXT, font=font)
    return np.array(sheet)


def _shortened(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(f"{label}…") > width:
        label = label[:-1]
    return f"{label}…"
