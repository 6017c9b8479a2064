"""The picture grid: one row per generated image, from the normal image to what changed."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from anomaly_gan.drawing.sheets import COLORS, GAP_PX, outline, to_rgb

CHANGE_WHITE = 64
"""Grey levels of change at the bright end of the colour scale, in every row, so that rows compare."""

HEADER_PX = 22
LEAST_CELL_PX = 128


@dataclass(frozen=True)
class GridRow:
    """One generated image: normal, raw and pasted [H, W] or [H, W, 3] uint8, mask [H, W] {0, 1}."""

    normal: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    raw: NDArray[np.uint8]
    pasted: NDArray[np.uint8]
    caption: str = ""


def row_pictures(row: GridRow) -> dict[str, NDArray[np.uint8]]:
    """Column title -> [H, W, 3] RGB picture, in the order of the columns."""
    return {
        "normal": to_rgb(row.normal),
        "mask": to_rgb(row.mask * np.uint8(255)),
        "generated, raw": to_rgb(row.raw),
        "generated": to_rgb(row.pasted),
        "generated, outlined": outline(row.pasted, row.mask, COLORS[0]),
        "change": change_map(row.normal, row.raw),
    }


def sample_grid(rows: Sequence[GridRow]) -> NDArray[np.uint8]:
    """All rows as one picture with column titles.

    Args:
        rows: at least one; all images of one size.

    Returns:
        [header + n (k H + gap), 6 (k W + gap), 3] uint8 RGB on white; k is the whole number that makes small
        images `LEAST_CELL_PX` wide, so that titles fit and a person sees the pixels.
    """
    scale = -(-LEAST_CELL_PX // rows[0].mask.shape[1])
    height, width = (side * scale for side in rows[0].mask.shape)
    titles = list(row_pictures(rows[0]))
    canvas = np.full(
        (HEADER_PX + len(rows) * (height + GAP_PX), len(titles) * (width + GAP_PX) - GAP_PX, 3), 255, np.uint8
    )
    for i, row in enumerate(rows):
        top = HEADER_PX + i * (height + GAP_PX)
        for j, picture in enumerate(row_pictures(row).values()):
            enlarged = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            canvas[top : top + height, j * (width + GAP_PX) :][:, :width] = enlarged
    page = Image.fromarray(canvas)
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=12)
    for j, title in enumerate(titles):
        pen.text((j * (width + GAP_PX), 3), title, fill=(60, 60, 60), font=font)
    return np.asarray(page)


def change_map(normal: NDArray[np.uint8], raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] RGB: |raw - normal| from black (none) to bright yellow (`CHANGE_WHITE` grey levels and more)."""
    change = cv2.absdiff(to_rgb(normal), to_rgb(raw)).max(axis=2).astype(np.float32)
    scaled = np.clip(change * (255 / CHANGE_WHITE), 0, 255).astype(np.uint8)
    coloured: NDArray[np.uint8] = cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO)[:, :, ::-1].astype(np.uint8)
    return coloured
