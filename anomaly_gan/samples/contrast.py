"""How much darker or brighter something is than what it lies in, as a share that holds at any level of light.

A pit that takes two thirds of the light does so on a dark rail as on a bright one, though the difference in grey levels
is another one. On the rails of RSDDs, whose surroundings have 124 +- 49 grey levels, the difference varies by 46 % from
pit to pit, and this share by 15 %.
"""

import torch
from torch import Tensor

from anomaly_gan.samples.tensors import HALF_RANGE

LEAST_WAY = 16 / HALF_RANGE
"""16 grey levels; nearer to black or white a difference is mostly noise, and a share of it would make noise large."""


def contrast_to(image: Tensor, around: Tensor) -> Tensor:
    """The share of the way from the level around to black, where the image is darker (negative), or to white.

    Args:
        image, around: of one shape, in [-1, 1].

    Returns:
        Of the same shape, -1..1.
    """
    difference = image - around
    return (difference / _way(difference, around).clamp(min=LEAST_WAY)).clamp(-1, 1)


def laid_over(around: Tensor, contrast: Tensor) -> Tensor:
    """What has this contrast to what is around it; the inverse of `contrast_to`.

    Args:
        around: in [-1, 1].
        contrast: of a shape that fits, -1..1.
    """
    return around + contrast * _way(contrast, around)


def _way(difference: Tensor, around: Tensor) -> Tensor:
    return torch.where(difference < 0, around + 1, 1 - around)
