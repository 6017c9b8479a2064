"""What a network sees of a sample: the whole frame, or a window at native scale."""

from collections.abc import Mapping
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import ViewConfig
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

Pixels = TypeVar("Pixels", bound=np.generic)


def take_view(sample: Sample, view: ViewConfig, rng: np.random.Generator, class_name: str | None) -> Sample:
    """Cut the view out of a sample.

    A window lies around a random pixel of the mask of `class_name`, so that the anomaly is never missed;
    for None it lies anywhere. A picture smaller than the window is mirrored to fill it, and its masks alike:
    an anomaly in the mirror image is one too.

    Args:
        sample: any size for windows; exactly view.size square for whole frames.
        view: which part.
        rng: decides the window; whole frames draw nothing.
        class_name: the class whose mask must be in the window, None for normal images.

    Returns:
        A sample of [size, size]; masks without a pixel in the window are left out.

    Raises:
        DataError: a whole frame of another size.
    """
    height, width = sample.image.shape[:2]
    if view.kind == "whole":
        if (height, width) != (view.size, view.size):
            raise DataError(
                f"sample {sample.key}: is {width}x{height} px, the view is the whole frame of {view.size};"
                f" import with --resolution {view.size}, or view it through windows"
            )
        return sample
    top, left = 0, 0
    if class_name is not None:
        rows, columns = np.nonzero(sample.masks[class_name])
        chosen = rng.integers(len(rows))
        top = _start_around(int(rows[chosen]), height, view.size, rng)
        left = _start_around(int(columns[chosen]), width, view.size, rng)
    else:
        top = int(rng.integers(max(height - view.size, 0) + 1))
        left = int(rng.integers(max(width - view.size, 0) + 1))
    return Sample(
        sample.key,
        cut_window(sample.image, top, left, view.size),
        _cut_masks(sample.masks, top, left, view.size),
        _cut_masks(sample.instances, top, left, view.size),
        {**sample.meta, "window": [left, top, view.size]},
    )


def _start_around(pixel: int, length: int, size: int, rng: np.random.Generator) -> int:
    """A window start that keeps `pixel` inside, uniform over the possible ones."""
    low, high = max(pixel - size + 1, 0), min(pixel, max(length - size, 0))
    return int(rng.integers(low, high + 1))


def cut_window(image: NDArray[Pixels], top: int, left: int, size: int) -> NDArray[Pixels]:
    """[size, size] of a picture; what lies beyond its lower and right border is mirrored."""
    part = image[top : top + size, left : left + size]
    missing_rows, missing_columns = size - part.shape[0], size - part.shape[1]
    if not (missing_rows or missing_columns):
        return np.ascontiguousarray(part)
    padded = cv2.copyMakeBorder(np.asarray(part, image.dtype), 0, missing_rows, 0, missing_columns, cv2.BORDER_REFLECT)
    return padded.astype(image.dtype, copy=False)


def _cut_masks(masks: Mapping[str, NDArray[Pixels]], top: int, left: int, size: int) -> dict[str, NDArray[Pixels]]:
    cut = {name: cut_window(mask, top, left, size) for name, mask in masks.items()}
    return {name: mask for name, mask in cut.items() if mask.any()}


def flip(sample: Sample, *, horizontal: bool, vertical: bool) -> Sample:
    """Mirror a sample and all its masks."""
    rows, columns = slice(None, None, -1 if vertical else 1), slice(None, None, -1 if horizontal else 1)
    return Sample(
        sample.key,
        np.ascontiguousarray(sample.image[rows, columns]),
        {name: np.ascontiguousarray(mask[rows, columns]) for name, mask in sample.masks.items()},
        {name: np.ascontiguousarray(mask[rows, columns]) for name, mask in sample.instances.items()},
        sample.meta,
    )


TURNS = 8
"""Symmetries of the square; number 0 leaves a picture as it is."""


def turned_sample(sample: Sample, turn: int) -> Sample:
    """A sample and all its masks by one of the eight symmetries: `turn % 4` quarter turns, mirrored first from 4 on.

    Args:
        turn: 0..7; the key of the copy says which.
    """

    def turned(image: NDArray[Pixels]) -> NDArray[Pixels]:
        mirrored = image[:, ::-1] if turn >= 4 else image
        return np.ascontiguousarray(np.rot90(mirrored, turn % 4))

    return Sample(
        f"{sample.key}-turn{turn}",
        turned(sample.image),
        {name: turned(mask) for name, mask in sample.masks.items()},
        {name: turned(mask) for name, mask in sample.instances.items()},
        sample.meta,
    )
