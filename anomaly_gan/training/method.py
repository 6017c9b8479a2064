"""The seam between a way to train a generator and everything around it: loop, checkpoints, watches, reports."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from anomaly_gan.config import TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.generator import Generator
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.image_pool import ImagePool
from anomaly_gan.training.joining import Wrap


@dataclass(frozen=True)
class Watched:
    """The terms by which a run's health is judged.

    Attributes:
        undecided: discriminator's loss -> its value where all logits are 0. A loss that stays near its least value, 0,
            means that the discriminator wins. Losses without a least value are left out.
        norms: names of gradient norms.
    """

    undecided: Mapping[str, float]
    norms: tuple[str, ...]


class Method(ABC):
    """Networks and their optimisers, and one update of all of them by a batch.

    Attributes:
        terms: scalar of a step -> what it is, in the order of a step: one that is not finite spoils those after it.
        charts: title -> the terms that a report draws on one pair of axes.
        saved: attributes with a `state_dict` that a resumed run needs, beside the step and the image pools.
        config: of the run.
        device: where networks and batches are.
        step: updates done.
        image_pools: domain -> this rank's earlier generated images.
    """

    terms: ClassVar[Mapping[str, str]]
    charts: ClassVar[Mapping[str, tuple[str, ...]]]
    saved: ClassVar[tuple[str, ...]]
    config: TrainConfig
    device: torch.device
    step: int
    image_pools: dict[str, ImagePool]

    @abstractmethod
    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of all networks; `step` is counted by the loop.

        Args:
            batch: this rank's pairs, on `device`.

        Returns:
            Unweighted terms, scalars [], named as in `terms`.
        """

    @property
    @abstractmethod
    def generator(self) -> Generator:
        """What the run is for: the weights to generate with, in evaluation mode, averaged where the config says so."""

    @property
    @abstractmethod
    def learning_rates(self) -> Mapping[torch.optim.Optimizer, float]:
        """Each optimiser, and the rate with which a run begins; the loop lowers it towards the end."""

    @property
    @abstractmethod
    def watched(self) -> Watched:
        """What a `HealthWatch` looks at."""

    @property
    def nimg(self) -> int:
        """Pairs shown so far, over all ranks."""
        return self.step * self.config.batch_size

    def state_dict(self) -> dict[str, Any]:
        """The saved attributes, by name."""
        return {name: getattr(self, name).state_dict() for name in self.saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Inverse of `state_dict`; raises as torch does where the state is of other networks."""
        for name in self.saved:
            getattr(self, name).load_state_dict(state[name])


class AdversarialMethod(Method):
    """A method of generators and discriminators, each group with an optimiser of its own.

    Attributes:
        g_ema: the averaged generator.
        optim_g, optim_d: of all generators, and of all discriminators.
    """

    g_ema: Generator
    optim_g: torch.optim.Optimizer
    optim_d: torch.optim.Optimizer

    @property
    def generator(self) -> Generator:
        return self.g_ema

    @property
    def learning_rates(self) -> Mapping[torch.optim.Optimizer, float]:
        return {self.optim_g: self.config.optim.lr_g, self.optim_d: self.config.optim.lr_d}


BuildMethod = Callable[[TrainConfig, int, AwareNetwork, torch.device, Wrap], Method]
"""Makes a method with weights of the config's seed.

Its arguments: the run's config; the side of the view in px; the aware network, frozen, which the method's losses may
use; the device; what joins the gradients of several ranks. It raises UsageError where the view does not suit the
networks.
"""
