"""Earlier generated images for the discriminators, so that generators cannot win by changing habits (CycleGAN's pool).

Each pair of the global batch has a history of its own, and chance depends on seed and position alone: the images do
not depend on how many ranks share the batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from anomaly_gan.config import TrainConfig

DOMAINS = ("abnl", "norm")
"""Abnormal and normal images; the order decides what is left to chance."""

POOL_STREAM = 5
"""Number of this use of chance beside the seed; each use has its own, so that none repeats another."""
RETURN_PROBABILITY = 0.5

Histories = dict[int, list[tuple[Tensor, Tensor]]]
"""Place in the batch -> its kept (image [3, H, W] in [-1, 1], parts [1, H, W] uint8), on the CPU or the device."""


class ImagePool:
    """The histories of one domain. An image keeps its mask, and with the mask its box.

    Attributes:
        histories: those of this rank.
    """

    def __init__(self, capacity: int, seed: int, batch_size: int, domain: int) -> None:
        self.histories: Histories = {}
        self._capacity = capacity
        self._seed = [seed, POOL_STREAM, domain]
        self._batch_size = batch_size

    def exchange(self, image: Tensor, parts: Tensor, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the discriminators see: the images, about half of which are earlier ones once a history is full.

        Args:
            image: [N, 3, H, W], without gradient.
            parts: [N, 1, H, W] uint8, the masks of the same images.
            positions: N numbers of pairs in the run.

        Returns:
            Images and masks of the same shapes.
        """
        if not self._capacity:
            return image, parts
        shown = [self._exchange_one(*each) for each in zip(image, parts, positions, strict=True)]
        images, shapes = zip(*shown, strict=True)
        return torch.stack(images), torch.stack(shapes)

    def _exchange_one(self, image: Tensor, parts: Tensor, position: int) -> tuple[Tensor, Tensor]:
        history = self.histories.setdefault(position % self._batch_size, [])
        # copies: a slice would keep the memory of its whole batch
        kept = (image.detach().clone(), parts.clone())
        if len(history) < self._capacity:
            history.append(kept)
            return image, parts
        rng = np.random.default_rng([*self._seed, position])
        if rng.random() >= RETURN_PROBABILITY:
            return image, parts
        chosen = int(rng.integers(self._capacity))
        earlier, history[chosen] = history[chosen], kept
        return earlier

    def load(self, histories: Histories, rank: int, world_size: int, device: torch.device) -> None:
        """Take this rank's places out of those of all ranks.

        The batch size is a multiple of the number of ranks, so the pairs of a place are always the same rank's.
        """
        self.histories = {
            place: [(image.to(device), parts.to(device)) for image, parts in pairs]
            for place, pairs in histories.items()
            if place % world_size == rank
        }


def image_pools(config: TrainConfig) -> dict[str, ImagePool]:
    """An empty pool for each domain of a run."""
    return {
        domain: ImagePool(config.image_pool, config.seed, config.batch_size, number)
        for number, domain in enumerate(DOMAINS)
    }
