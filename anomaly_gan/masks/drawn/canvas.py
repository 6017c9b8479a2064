"""The canvas that somebody drew on: its size, the boxes on it, and what covers none of it.

A picture reaches from 0 to its width and height, each pixel 1 wide. What reaches over its border is cut off there.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.sample import MAX_PIXELS
from infra.errors import DataError


class Box(NamedTuple):
    """A box in px."""

    left: float
    top: float
    width: float
    height: float


def box_around(points: Sequence[tuple[float, float]]) -> Box:
    """The least box that holds all of the (x, y)."""
    (left, top), (right, bottom) = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    return Box(left, top, right - left, bottom - top)


def check_size(width: float, height: float, name: str) -> tuple[int, int]:
    """The size of a canvas, (width, height) in px.

    Raises:
        DataError: no whole numbers, below 1, or of more than MAX_PIXELS pixels.
    """
    whole = width % 1 == 0 == height % 1  # false for NaN and infinity too
    if not whole or min(width, height) < 1 or width * height > MAX_PIXELS:
        raise DataError(
            f"{name}: states a picture of {width} x {height} pixels; state its true size,"
            f" at most {MAX_PIXELS >> 20} megapixels"
        )
    return int(width), int(height)


def check_box(box: Box, name: str) -> Box:
    """The box itself.

    Raises:
        DataError: a value is not finite, or the width or height is not above 0.
    """
    if not (all(map(math.isfinite, box)) and box.width > 0 and box.height > 0):
        stated = ", ".join(f"{value:g}" for value in box)
        raise DataError(f"{name}: a box needs finite numbers and a width and height above 0, got {stated}; mend it")
    return box


def refuse_outside(box: Box, size: tuple[int, int], name: str) -> None:
    """Refuse a box that has nothing in common with a picture of `size`, (width, height)."""
    width, height = size
    if box.left >= width or box.top >= height or box.left + box.width <= 0 or box.top + box.height <= 0:
        raise DataError(
            f"{name}: lies wholly outside its picture of {width} x {height} pixels; draw it inside or remove it"
        )


def area(points: Sequence[tuple[float, float]]) -> float:
    """Area of a polygon of (x, y), in px."""
    if len(points) < 3:
        return 0.0
    x, y = np.array(points, np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def cut_polygon(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> list[tuple[float, float]]:
    """The part of a polygon of (x, y) inside a picture of `size`, (width, height) (Sutherland and Hodgman, 1974)."""
    kept = [(float(x), float(y)) for x, y in points]
    for axis, sign, limit in ((0, 1, 0), (0, -1, -size[0]), (1, 1, 0), (1, -1, -size[1])):
        before, kept = kept, []
        for last, here in zip([*before[-1:], *before[:-1]], before, strict=True):
            was, is_now = (sign * one[axis] - limit for one in (last, here))
            if (was < 0) != (is_now < 0):
                share = was / (was - is_now)
                kept.append((last[0] + share * (here[0] - last[0]), last[1] + share * (here[1] - last[1])))
            if is_now >= 0:
                kept.append(here)
    return kept


def cut_box(box: Box, size: tuple[int, int], name: str) -> Box:
    """The part of a box inside a picture of `size`, (width, height).

    Raises:
        DataError: there is none.
    """
    refuse_outside(box, size, name)
    left, top, right, bottom = _edges(box, size)
    return Box(left, top, right - left, bottom - top)


def fill_box(box: Box, size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """[H, W] uint8: 1 in every pixel that the box touches.

    Raises:
        DataError: it touches none.
    """
    left, top, right, bottom = _edges(box, size)
    mask = np.zeros(size[::-1], np.uint8)
    mask[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 1
    return refuse_blank(mask, box, name)


def refuse_blank(mask: NDArray[np.uint8], extent: Box, name: str) -> NDArray[np.uint8]:
    """The mask itself, which has a pixel of 1.

    Args:
        mask: [H, W] {0, 1}, as drawn.
        extent: where it was drawn, on the canvas or off it.
        name: how messages call it.

    Raises:
        DataError: it covers no pixel; says whether it lies outside the picture or is empty.
    """
    if not mask.any():
        refuse_outside(extent, (mask.shape[1], mask.shape[0]), name)
        raise DataError(f"{name}: is empty, it covers no pixel of its picture; draw it larger or remove it")
    return mask


def _edges(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, moved to the border where they lie outside."""
    left, right = np.clip((box.left, box.left + box.width), 0, size[0]).tolist()
    top, bottom = np.clip((box.top, box.top + box.height), 0, size[1]).tolist()
    return left, top, right, bottom
