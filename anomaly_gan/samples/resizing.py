"""Pictures and masks at another size."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Level = TypeVar("Level", bound=np.integer)


def resize_image(image: NDArray[np.uint8], resolution: int | None) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] uint8 -> square of side `resolution`: area mean to shrink, bilinear to enlarge."""
    height, width = image.shape[:2]
    if resolution is None or (height, width) == (resolution, resolution):
        return image
    shrinks = height > resolution or width > resolution
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (resolution, resolution), interpolation=method).astype(np.uint8)


def resize_nearest(labels: NDArray[Level], resolution: int | None) -> NDArray[Level]:
    """[H, W] -> square of side `resolution`; each pixel takes the value under its centre."""
    return labels if resolution is None else stretch_nearest(labels, (resolution, resolution))


def stretch_nearest(labels: NDArray[Level], shape: tuple[int, int]) -> NDArray[Level]:
    """[H, W] -> `shape`; each pixel takes the value under its centre."""
    if labels.shape == shape:
        return labels
    pairs = zip(shape, labels.shape, strict=True)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.intp) for new, old in pairs)
    stretched: NDArray[Level] = labels[rows[:, None], columns[None, :]]
    return stretched


def lost_parts(mask: NDArray[np.uint8], resolution: int | None) -> int:
    """Connected parts of a [H, W] mask (8 neighbours) of which no pixel is left after resizing."""
    if resolution is None:
        return 0
    labels: NDArray[np.int32] = cv2.connectedComponents(mask, connectivity=8)[1].astype(np.int32)
    return int((np.setdiff1d(labels, resize_nearest(labels, resolution)) > 0).sum())
