"""Turning, scaling and cutting the shape of an element."""

import cv2
import numpy as np
from numpy.typing import NDArray

GUESSES = 8


def transform(shape: NDArray[np.uint8], angle_deg: float, scale: float) -> NDArray[np.uint8]:
    """Rotate and scale a shape without losing a corner; the result is cut to its box and never empty.

    The pixels that the turned shape covers most are taken, as many as its area asks for. So a line of 2 px or more
    stays in one piece but for one in thousands, and so does one of 1 px if it is enlarged to 1.2 or more and its
    pixels touch at their sides. Other lines of 1 px may have fewer pixels than their new way needs, and get gaps.

    Args:
        shape: [h, w] uint8 {0, 1}.
        angle_deg: counter-clockwise.
        scale: 1 keeps the size.

    Returns:
        [h', w'] uint8 {0, 1} of area * scale**2 pixels, rounded, at least 1; fewer only where strong reduction leaves
        none to choose.
    """
    _, turned, (left, top, width, height) = _turned(shape, angle_deg, scale)
    return turned[top : top + height, left : left + width]


def turned_box(
    shape: NDArray[np.uint8], angle_deg: float, scale: float
) -> tuple[NDArray[np.float64], tuple[int, int, int, int]]:
    """How `transform` moves pixels, for those who move others along.

    Returns:
        The [2, 3] affine matrix from the shape's pixels to those of a canvas, and the (left, top, width, height) that
        the result of `transform` has on that canvas.
    """
    turn, _, box = _turned(shape, angle_deg, scale)
    return turn, box


def _turned(
    shape: NDArray[np.uint8], angle_deg: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.uint8], tuple[int, int, int, int]]:
    """(matrix, the turned shape on a canvas that holds every corner, its box there)."""
    height, width = shape.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, scale).astype(np.float64)
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    turn[0, 2] += (side - width) // 2  # half a pixel would add a row and a column
    turn[1, 2] += (side - height) // 2
    cover = cv2.warpAffine(shape * np.uint8(255), turn, (side, side), flags=cv2.INTER_LINEAR).astype(np.uint8)
    count = max(1, round(cv2.countNonZero(shape) * scale**2))
    covered = cv2.countNonZero(cover)
    if not covered:  # an outline that slips between the samples of a strong reduction
        cover[side // 2, side // 2] = 255
    elif covered < count:  # a side whose border slips between the samples
        cover = _widened(cover)
    turned = _most_covered(cover, count)
    left, top, width, height = map(int, cv2.boundingRect(turned))
    return turn, turned, (left, top, width, height)


def _widened(cover: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The covered pixels at levels from 128, and their neighbours below."""
    around = cv2.blur(cover, (3, 3)).astype(np.uint8)
    return np.where(cover > 0, cover // 2 + 128, around // 2).astype(np.uint8)


def _most_covered(cover: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """{0, 1}: the `count` pixels of the highest levels, of equal ones the first; never one of level 0."""
    above = np.cumsum(np.bincount(cover.ravel(), minlength=256)[::-1])  # pixels of level >= 255 - i
    level = max(255 - int(np.searchsorted(above, count)), 1)
    chosen = (cover >= level).astype(np.uint8)
    surplus = cv2.countNonZero(chosen) - count
    if surplus > 0:
        tied = np.flatnonzero(cover == level)
        chosen.ravel()[tied[len(tied) - surplus :]] = 0
    return chosen


def cut_to(
    shape: NDArray[np.uint8], most: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[int, int, int, int] | None]:
    """The shape itself and None, or, where it is larger than (height, width), a part around one of its pixels.

    Returns:
        The part, and its (left, top, width, height) in the shape.
    """
    height, width = most
    if shape.shape[0] <= height and shape.shape[1] <= width:
        return shape, None
    row, column = random_pixel(shape, rng)
    top, left = _window(row, shape.shape[0], height), _window(column, shape.shape[1], width)
    cut = shape[top : top + height, left : left + width]
    return cut, (left, top, cut.shape[1], cut.shape[0])


def random_pixel(mask: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int]:
    """(row, column) of a pixel of a mask that is not empty."""
    upto = np.cumsum(cv2.reduce(mask, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S))  # by rows: many times faster than at once
    number = int(rng.integers(upto[-1]))
    row = int(np.searchsorted(upto, number, side="right"))
    of_row = np.flatnonzero(mask[row])
    return row, int(of_row[number - int(upto[row])])


def random_pixel_of_region(mask: NDArray[np.uint8], rng: np.random.Generator) -> tuple[int, int]:
    """What `random_pixel` gives, but faster for a large mask of which much is 1, because it guesses first."""
    for _ in range(GUESSES):
        row, column = divmod(int(rng.integers(mask.size)), mask.shape[1])
        if mask[row, column]:
            return row, column
    return random_pixel(mask, rng)


def _window(pixel: int, length: int, size: int) -> int:
    return min(max(pixel - size // 2, 0), max(length - size, 0))
