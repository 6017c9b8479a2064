"""Stored pixels <-> the range of the networks; both conversions live here and nowhere else."""

import torch
from torch import Tensor

from infra.errors import DataError

HALF_RANGE = 127.5
"""Grey levels from the middle of the range to black or white, 1 in the range of the networks."""


def to_model_range(image: Tensor) -> Tensor:
    """Map stored pixels to the range of the generator's tanh (paper, Sec. 4.2.1).

    Args:
        image: [N, 3, H, W] uint8 0..255.

    Returns:
        [N, 3, H, W] float32 in [-1, 1]; 0 becomes -1, 255 becomes 1.

    Raises:
        DataError: image is not uint8, most likely because it was converted twice.
    """
    if image.dtype != torch.uint8:
        raise DataError(f"image: expected uint8, got {image.dtype}; was it converted twice?")
    return image.float() / HALF_RANGE - 1


def to_uint8(image: Tensor) -> Tensor:
    """Inverse of `to_model_range`: [N, C, H, W] in [-1, 1] -> uint8 0..255, rounded and clamped."""
    return ((image.float() + 1) * HALF_RANGE).round().clamp(0, 255).to(torch.uint8)
