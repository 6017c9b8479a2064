"""The planes of noise that a generator draws its texture from: a pure function of a seed."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def draw_noise(seed: Sequence[int], planes: int, size: int, device: torch.device | None = None) -> Tensor:
    """Standard normal numbers: of the first plane each pixel's own, of the others one for the whole plane.

    The first is what texture is drawn from, the others say how an anomaly is as a whole: dark or pale, rough or smooth.

    Args:
        seed: whole numbers from 0 that decide them, on one kind of device.
        planes: P, 0 = none.
        size: side S in px.
        device: where they are drawn; None = the CPU.

    Returns:
        [P, S, S] float32.
    """
    device = device or torch.device("cpu")
    generator = torch.Generator(device).manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
    drawn = torch.randn(min(planes, 1), size, size, generator=generator, device=device)
    whole = torch.randn(max(planes - 1, 0), 1, 1, generator=generator, device=device)
    return torch.cat([drawn, whole.expand(-1, size, size)])
