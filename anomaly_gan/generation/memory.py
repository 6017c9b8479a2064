"""How many images a generator can make at a time."""

import torch

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.generator import make_generator
from anomaly_gan.networks.live_bytes import counted_bytes

MOST_AT_A_TIME = 64
"""Most images of one forward pass; more at a time are no faster."""


def images_within(memory_bytes: float, config: ModelConfig, resolution: int) -> int:
    """How many images a generator can take at a time in this much memory beside its weights; 1 to MOST_AT_A_TIME."""
    one, two = (_forward_bytes(config, resolution, count) for count in (1, 2))
    return min(max(int(1 + (memory_bytes - one) // (two - one)), 1), MOST_AT_A_TIME)


def _forward_bytes(config: ModelConfig, resolution: int, count: int) -> int:
    """The most that a forward pass holds, without the weights."""
    with torch.no_grad(), counted_bytes() as live:
        generator = make_generator(config).eval()
        resting: int = live.bytes
        generator(torch.zeros(count, 3, resolution, resolution), torch.zeros(count, 1, resolution, resolution))
        peak: int = live.peak
    return peak - resting
