"""Differentiable changes of what the discriminators see (after DiffAugment, Zhao et al. 2020, and ADA).

Real and generated images get changes of the same distribution, and the generators' gradient goes through them, so
that few real images cannot be learnt by heart and the changes never leak into what is generated.
Image and mask move together; the boxes follow, because they are measured on the moved mask.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anomaly_gan.config import AugmentConfig

AUGMENT_STREAM = 4
"""Number of this use of chance beside the seed; each use has its own, so that none repeats another."""


def augment(
    image: Tensor, parts: Tensor, positions: Sequence[int], config: AugmentConfig, seed: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Mirror, transpose, shift, brighten and stretch the contrast, each with `config.probability` per image.

    Args:
        image: [N, 3, H, H] in [-1, 1]; brightness and contrast may lead out of the range.
        parts: [N, 1, H, H] uint8; they move with the image, and their values stay.
        positions: N numbers of pairs in the run; with `seed` they decide the changes.
        seed: the run's seed, then numbers that distinguish the looks at one pair.

    Returns:
        Image and parts of the same shapes.
    """
    if not config.probability:
        return image, parts
    size = image.shape[-1]
    drawn = [
        _draw(np.random.default_rng([seed[0], AUGMENT_STREAM, *seed[1:], position]), config, size)
        for position in positions
    ]
    flags, shifts, light = (np.stack(column) for column in zip(*drawn, strict=True))
    device = image.device
    # [N, 1, 1, 1] each
    mirrored, flipped, transposed = torch.from_numpy(flags).to(device).T[:, :, None, None, None]
    offsets = torch.from_numpy(shifts).to(device)  # [N, 2] rows, columns

    def move(values: Tensor) -> Tensor:
        values = torch.where(mirrored, values.flip(3), values)
        values = torch.where(flipped, values.flip(2), values)
        values = torch.where(transposed, values.transpose(2, 3), values)
        return _shift(_shift(values, offsets[:, 0], 2), offsets[:, 1], 3)

    image, parts = move(image), move(parts)
    brightness, contrast = torch.from_numpy(light).to(device, image.dtype).T[:, :, None, None, None]
    # contrast is stretched around each image's own mean, so that it does not change the brightness
    middle = image.mean((1, 2, 3), keepdim=True)
    return (image - middle) * contrast + middle + brightness, parts


def _draw(rng: np.random.Generator, config: AugmentConfig, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mirror, flip, transpose), (rows, columns) of shift, (brightness, contrast factor)."""
    # all is drawn, wanted or not, so that a draw never depends on what came of those before it
    flags = rng.random(3) < config.probability
    wanted = rng.random(3) < config.probability
    most = int(config.max_shift * size)
    shift = rng.integers(-most, most + 1, 2) * wanted[0]
    brightness = rng.uniform(-config.max_brightness, config.max_brightness) * wanted[1]
    contrast = 1 + rng.uniform(-config.max_contrast, config.max_contrast) * wanted[2]
    return flags, shift, np.array([brightness, contrast])


def _shift(values: Tensor, offset: Tensor, dim: int) -> Tensor:
    """Move each of [N, C, H, W] by its own whole pixels along a dimension; the border is mirrored."""
    length = values.shape[dim]
    # [N, length]: where each row (column) of the result comes from; whole pixels leave a mask's values as they are
    index = (torch.arange(length, device=values.device) - offset[:, None]).abs()
    index = torch.where(index >= length, 2 * (length - 1) - index, index)
    shape = [len(values), 1, 1, 1]
    shape[dim] = length
    return values.gather(dim, index.view(shape).expand_as(values))
