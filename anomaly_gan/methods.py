"""The list of methods, each a way to train a generator behind the seam of `training.method`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from anomaly_gan.config import TrainConfig
from anomaly_gan.gan.method import AnomalyGan, build_anomaly_gan
from anomaly_gan.lists import find
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.rivals.cyclegan import CYCLEGAN_DEFAULTS, CycleGan, build_cyclegan
from anomaly_gan.training import memory
from anomaly_gan.training.joining import Wrap, alone
from anomaly_gan.training.memory_estimate import MemoryEstimate
from anomaly_gan.training.method import BuildMethod, Method


@dataclass(frozen=True)
class MethodEntry:
    """One way to train.

    Attributes:
        form: its class, which names terms and charts.
        build: makes one for a run.
        defaults: dotted key below `train` -> the value that it takes where the user gives none.
    """

    form: type[Method]
    build: BuildMethod
    defaults: Mapping[str, Any] = field(default_factory=dict)


METHODS: dict[str, MethodEntry] = {
    "anomaly_gan": MethodEntry(AnomalyGan, build_anomaly_gan),
    "cyclegan": MethodEntry(CycleGan, build_cyclegan, CYCLEGAN_DEFAULTS),
}


def find_method(name: str) -> MethodEntry:
    """A method of the list.

    Raises:
        UsageError: there is none of this name.
    """
    return find(METHODS, name, "train.method: unknown method")


def build_method(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap = alone
) -> Method:
    """What `config.method` names, ready for its first step; arguments and errors as `BuildMethod` has them."""
    return find_method(config.method).build(config, resolution, aware, device, wrap)


def estimate_memory(config: TrainConfig, resolution: int, world_size: int = 1) -> MemoryEstimate:
    """What a training by `config.method` takes on each rank; see `training.memory.estimate_memory`."""
    return memory.estimate_memory(find_method(config.method).build, config, resolution, world_size)
