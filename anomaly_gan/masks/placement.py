"""Expert masks: elements of the pool, repositioned, rotated, scaled and combined (paper, Sec. 4.1.2)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.pool import Element, MaskPool

FULL_TURN_DEG = 360.0


@dataclass(frozen=True)
class Placement:
    """Where one element went: the audit trail of a mask."""

    source: str
    left: int
    top: int
    angle_deg: float
    scale: float


def place(
    pool: MaskPool, size: int, config: MaskConfig, rng: np.random.Generator, *, like_real: bool = False
) -> tuple[NDArray[np.uint8], list[Placement]]:
    """Draw one mask.

    Args:
        pool: the elements of a class.
        size: side of the square view in px.
        config: pose, most parts, range of scale.
        rng: the only source of chance.
        like_real: combine as many parts as real masks have, instead of 1 to `max_parts` alike: in training, so that
            the number of parts does not tell a discriminator which images are generated.

    Returns:
        [size, size] uint8 {0, 1}, never empty, and how it was made.
    """
    mask = np.zeros((size, size), np.uint8)
    elements = pool.prior_elements if config.pool == "prior_only" else pool.elements
    placements = []
    counts = pool.part_counts if like_real else range(1, config.max_parts + 1)
    for _ in range(min(counts[int(rng.integers(len(counts)))], config.max_parts)):
        element = elements[int(rng.integers(len(elements)))]
        placements.append(_place_element(mask, element, config, rng))
    return mask, placements


def _place_element(
    mask: NDArray[np.uint8], element: Element, config: MaskConfig, rng: np.random.Generator
) -> Placement:
    size = len(mask)
    if config.pose == "fixed":
        angle, scale, shape = 0.0, 1.0, element.mask
    else:
        angle = float(rng.uniform(0, FULL_TURN_DEG))
        scale = float(rng.uniform(config.scale_min, config.scale_max))
        shape = transform(element.mask, angle, scale)
    shape = _fit(shape, size, rng)
    height, width = shape.shape
    top = int(rng.integers(size - height + 1))
    left = int(rng.integers(size - width + 1))
    np.maximum(
        mask[top : top + height, left : left + width],
        shape,
        out=mask[top : top + height, left : left + width],
    )
    return Placement(element.source, left, top, angle, scale)


def transform(shape: NDArray[np.uint8], angle_deg: float, scale: float) -> NDArray[np.uint8]:
    """Rotate and scale a shape without losing a corner; the result is cut to its box and never empty.

    Args:
        shape: [h, w] uint8 {0, 1}.
        angle_deg: counter-clockwise.
        scale: 1 keeps the size.
    """
    height, width = shape.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, scale)
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    turn[0, 2] += (side - width) // 2  # half a pixel would add a row and a column
    turn[1, 2] += (side - height) // 2
    soft = cv2.warpAffine(shape * np.uint8(255), turn, (side, side), flags=cv2.INTER_LINEAR)
    if not soft.any():  # an outline that slips between the samples of a strong reduction
        return np.ones((1, 1), np.uint8)
    turned = (soft >= min(128, int(soft.max()))).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(turned)
    return turned[top : top + height, left : left + width]


def _fit(shape: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The shape itself, or, where it is larger than the view, a part around one of its pixels."""
    rows, columns = np.nonzero(shape)
    chosen = int(rng.integers(len(rows)))
    top = _window(int(rows[chosen]), shape.shape[0], size)
    left = _window(int(columns[chosen]), shape.shape[1], size)
    return shape[top : top + size, left : left + size]


def _window(pixel: int, length: int, size: int) -> int:
    return min(max(pixel - size // 2, 0), max(length - size, 0))
