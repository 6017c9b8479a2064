"""How much memory a training step or a generator takes, found by running it without its numbers."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from anomaly_gan.config import ModelConfig, TrainConfig
from anomaly_gan.gan.state import build_state
from anomaly_gan.gan.step import train_step
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.generator import make_generator
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.memory_estimate import MemoryEstimate

MOST_AT_A_TIME = 64
"""Images of a forward pass; more are no faster."""


def estimate_memory(config: TrainConfig, resolution: int, world_size: int = 1) -> MemoryEstimate:
    """Run one step on tensors that have shapes but no values, and count what is alive.

    Args:
        config: the run; DDP's copy of the gradients is counted where several ranks share the batch.
        resolution: side of the view in px.
        world_size: ranks that share the batch.
    """
    compute = config.compute.model_copy(update={"compile": False, "channels_last": False})
    config = config.model_copy(update={"compute": compute})
    share = config.batch_size // world_size
    with FakeTensorMode(), _LiveBytes() as live:
        state = build_state(config, resolution, AwareNetwork(), torch.device("cpu"))
        image, mask = _pixels(share, 3, resolution), _pixels(share, 1, resolution)
        batch = Batch(image, mask, image.clone(), mask.clone(), tuple(range(share)))
        gradients = sum(_settle(optimizer) for optimizer in (state.optim_g, state.optim_d))
        without_pools = live.bytes
        for pool in state.image_pools.values():
            pool.histories = {place: [_kept(resolution) for _ in range(config.image_pool)] for place in range(share)}
        image_pools = live.bytes - without_pools
        resting = live.bytes
        train_step(state, batch)
        peak = live.peak
    joined = gradients if world_size > 1 else 0
    return MemoryEstimate(resting + joined, peak + joined, image_pools)


def images_within(memory_bytes: float, config: ModelConfig, resolution: int) -> int:
    """How many images a generator can take at a time in so much memory beside its weights; 1 to MOST_AT_A_TIME."""
    one, two = (_forward_bytes(config, resolution, count) for count in (1, 2))
    return min(max(int(1 + (memory_bytes - one) // (two - one)), 1), MOST_AT_A_TIME)


def _forward_bytes(config: ModelConfig, resolution: int, count: int) -> int:
    """The most that a forward pass holds, without the weights."""
    with FakeTensorMode(), torch.no_grad(), _LiveBytes() as live:
        generator = make_generator(config).eval()
        resting: int = live.bytes
        generator(torch.zeros(count, 3, resolution, resolution), torch.zeros(count, 1, resolution, resolution))
        peak: int = live.peak
    return peak - resting


def _pixels(count: int, planes: int, size: int) -> Tensor:
    return torch.zeros(count, planes, size, size, dtype=torch.uint8)


def _kept(size: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(3, size, size), torch.zeros(1, size, size, dtype=torch.uint8)


def _settle(optimizer: torch.optim.Optimizer) -> int:
    """Make the optimiser's state, and return the bytes of its gradients."""
    size = 0
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
            size += parameter.nbytes
    optimizer.step()
    optimizer.zero_grad()
    return size


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages of all tensors made within it, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._note, made)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            size = storage.nbytes()
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.bytes -= size
