"""NumPy arrays -> samples, each checked with one sentence that says which array is wrong."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.sample import Sample
from infra.errors import DataError


def normal_samples(pictures: Iterable[NDArray[np.uint8]]) -> list[Sample]:
    """Samples without an anomaly, with the keys `picture-0`, `picture-1`, ….

    Args:
        pictures: [H, W] grey or [H, W, 3] RGB uint8 each, all grey or all RGB, of any size.

    Raises:
        DataError: there is none, or a picture is of another shape or type.
    """
    samples = [Sample(f"picture-{number}", _picture(picture, number)) for number, picture in enumerate(pictures)]
    if not samples:
        raise DataError("pictures: there are none; give at least one")
    if len({sample.image.ndim for sample in samples}) > 1:
        raise DataError("pictures: some are grey and some RGB; convert them to one of both")
    return samples


def abnormal_samples(
    pictures: Iterable[NDArray[np.uint8]], masks: Iterable[NDArray[Any]], class_name: str
) -> list[Sample]:
    """Samples with an anomaly of one class each.

    Args:
        pictures: as in `normal_samples`.
        masks: [H, W] of each picture's size, bool, or uint8 of {0, 1} or {0, 255}; what is not 0 is the anomaly.

    Raises:
        DataError: a picture or mask is of another shape or type, a mask is empty, or their numbers differ.
    """
    samples, found = normal_samples(pictures), list(masks)
    if len(found) != len(samples):
        raise DataError(f"masks: expected one for each of {len(samples)} pictures, got {len(found)}")
    return [
        Sample(sample.key, sample.image, {class_name: _binary(mask, sample.image, number)})
        for number, (sample, mask) in enumerate(zip(samples, found, strict=True))
    ]


def _picture(picture: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    is_shaped = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
    if not is_shaped or picture.dtype != np.uint8 or not picture.size:
        raise DataError(
            f"picture {number}: expected uint8 of shape [H, W] or [H, W, 3], got {picture.dtype} of shape"
            f" {list(picture.shape)}"
        )
    return picture


def _binary(mask: NDArray[Any], image: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """[H, W] uint8 {0, 1}."""
    if mask.shape != image.shape[:2]:
        raise DataError(f"mask {number}: expected the shape of its picture, {image.shape[:2]}, got {mask.shape}")
    levels = np.unique(mask).tolist()
    is_binary = any(set(levels) <= {0, highest} for highest in (1, 255))  # True == 1
    if mask.dtype not in (np.bool_, np.uint8) or not is_binary:
        raise DataError(
            f"mask {number}: expected bool, or uint8 of 0 and 1 or of 0 and 255, got {mask.dtype} with {len(levels)}"
            " different values; make it binary, as in mask > 127"
        )
    if not mask.any():
        raise DataError(f"mask {number}: is empty; mark at least one pixel")
    return (mask > 0).astype(np.uint8)
