"""The order of training: each pair is a pure function of (seed, position), whatever the ranks are."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.config import MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.exemplars.assembling import lay_texture
from anomaly_gan.exemplars.exemplar import Exemplar, cut_exemplars
from anomaly_gan.masks.placing.planning import MaskPlanner
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.networks.crops import number_parts
from anomaly_gan.samples.sample import Sample, to_planes
from anomaly_gan.samples.views import flip, take_view
from infra.errors import DataError

NORMAL_STREAM, ABNORMAL_STREAM, PAIR_STREAM, TEXTURE_STREAM = 1, 2, 3, 9


@dataclass(frozen=True)
class Batch:
    """Unpaired images and their masks, still uint8: a quarter of the bytes on the way to a GPU.

    Attributes:
        normal_image, abnormal_image: [N, 3, H, W] 0..255.
        expert_mask: [N, 1, H, W], where an anomaly is to appear in the normal image: 0 outside, else the number of
            the part (`crops.number_parts`).
        prior_mask: [N, 1, H, W], numbered in the same way: where the anomaly is in the abnormal image.
        texture: [N, 1 or 3, H, W] float16 in -1..1, how the anomaly of each expert mask is to differ from its
            surroundings (`Exemplar.contrast`), of which the generator makes a real anomaly's texture; None = nothing is
            laid in.
        positions: the pairs' numbers in the run; with the seed they decide whatever else is left to chance.
    """

    normal_image: Tensor
    expert_mask: Tensor
    abnormal_image: Tensor
    prior_mask: Tensor
    positions: tuple[int, ...] = ()
    texture: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        return self._changed(lambda tensor: tensor.to(device, non_blocking=True), self.positions)

    def split(self, count: int) -> list["Batch"]:
        """`count` batches of equal size, in order."""
        size = len(self.normal_image) // count
        parts = [slice(i, i + size) for i in range(0, size * count, size)]
        return [self._changed(operator.itemgetter(part), self.positions[part]) for part in parts]

    def _changed(self, change: Callable[[Tensor], Tensor], positions: tuple[int, ...]) -> "Batch":
        tensors = (self.normal_image, self.expert_mask, self.abnormal_image, self.prior_mask)
        normal, expert, abnormal, prior = map(change, tensors)
        texture = None if self.texture is None else change(self.texture)
        return Batch(normal, expert, abnormal, prior, positions, texture)


@dataclass(frozen=True)
class BatchSource:
    """Batches of one class; rank r takes pairs r, r + world_size, ... of each global batch.

    Attributes:
        normals, abnormals: the training split; abnormals all carry `pool.class_name`.
        batch_size: pairs over all ranks; a multiple of world_size.
        parts: how many parts of a mask have a number of their own, largest first.
        exemplars: whose texture is laid into expert masks; none = nothing is.
    """

    normals: Sequence[Sample]
    abnormals: Sequence[Sample]
    pool: MaskPool
    view: ViewConfig
    masks: MaskConfig
    seed: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    parts: int = 1
    exemplars: Sequence[Exemplar] = ()

    @classmethod
    def of_run(
        cls,
        normals: Sequence[Sample],
        abnormals: Sequence[Sample],
        pool: MaskPool,
        view: ViewConfig,
        config: TrainConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> "BatchSource":
        """The batches that a rank sees in the run of a config; the attributes say what the arguments are."""
        return cls(
            normals,
            abnormals,
            pool,
            view,
            config.masks,
            config.seed,
            config.batch_size,
            rank,
            world_size,
            config.crop.parts,
            cut_exemplars(abnormals, pool.class_name, view.size) if config.model.content == "exemplar" else (),
        )

    def __post_init__(self) -> None:
        if not self.normals or not self.abnormals:
            missing = "normal image" if not self.normals else f"image of class {self.pool.class_name}"
            raise DataError(f"training split: has no {missing}; import more, or lower the test fraction")

    def batch(self, step: int) -> Batch:
        """The pairs that this rank sees at a step (0, 1, ...)."""
        first = step * self.batch_size
        # ranks take turns, so that any number of them together sees the same global batch
        positions = tuple(range(first + self.rank, first + self.batch_size, self.world_size))
        normal, expert, abnormal, prior = zip(*map(self.pair, positions), strict=True)
        texture = self._texture(normal, expert, positions) if self.exemplars else None
        return Batch(_images(normal), self._masks(expert), _images(abnormal), self._masks(prior), positions, texture)

    def pair(self, position: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """(normal image, expert mask, abnormal image, prior mask) number `position` of the run."""
        name = self.pool.class_name
        rng = np.random.default_rng([self.seed, PAIR_STREAM, position])
        normal = self._fitting[self._shuffled(len(self._fitting), NORMAL_STREAM, position)]
        abnormal = self.abnormals[self._shuffled(len(self.abnormals), ABNORMAL_STREAM, position)]
        # the draws of a pair are in a fixed order: mask and view of the normal picture, its flips, view, flips
        planned = self._planner.plan(normal, rng, like_real=True)
        normal = _flipped(Sample(normal.key, planned.view.image, {name: planned.mask}), rng)
        abnormal = _flipped(take_view(abnormal, self.view, rng, name), rng)
        return normal.image, normal.masks[name], abnormal.image, abnormal.masks[name]

    def _texture(
        self, images: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8]], positions: Sequence[int]
    ) -> Tensor:
        laid = [
            lay_texture(image, mask, self.exemplars, (self.seed, TEXTURE_STREAM, position)).planes
            for image, mask, position in zip(images, masks, positions, strict=True)
        ]
        return torch.from_numpy(np.stack(laid).astype(np.float16))

    @cached_property
    def _fitting(self) -> Sequence[Sample]:
        return self._planner.fitting(self.normals)

    @cached_property
    def _planner(self) -> MaskPlanner:
        return MaskPlanner(self.pool, self.view, self.masks)

    def _masks(self, masks: Sequence[NDArray[np.uint8]]) -> Tensor:
        return torch.from_numpy(np.stack([number_parts(mask, self.parts) for mask in masks])[:, None])

    def _shuffled(self, count: int, stream: int, position: int) -> int:
        """Index of the image at a position of the run; each epoch shows every image once, in an order of its own."""
        epoch, offset = divmod(position, count)
        order = np.random.default_rng([self.seed, stream, epoch]).permutation(count)
        return int(order[offset])


def _flipped(sample: Sample, rng: np.random.Generator) -> Sample:
    horizontal, vertical = rng.random(2) < 0.5
    return flip(sample, horizontal=bool(horizontal), vertical=bool(vertical))


def _images(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack([to_planes(image) for image in images]))
