"""How much memory a training step takes, found by running it without its numbers."""

import torch
from torch import Tensor

from anomaly_gan.config import TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.live_bytes import counted_bytes
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.joining import alone
from anomaly_gan.training.memory_estimate import MemoryEstimate
from anomaly_gan.training.method import BuildMethod


def estimate_memory(build: BuildMethod, config: TrainConfig, resolution: int, world_size: int = 1) -> MemoryEstimate:
    """Run one step on tensors that have shapes but no values, and count what is alive.

    Args:
        build: makes the method.
        config: the run; DDP's copy of the gradients is counted where several ranks share the batch.
        resolution: side of the view in px.
        world_size: ranks that share the batch.
    """
    compute = config.compute.model_copy(update={"compile": False, "channels_last": False})
    config = config.model_copy(update={"compute": compute})
    share = config.batch_size // world_size
    with counted_bytes() as live:
        method = build(config, resolution, AwareNetwork(), torch.device("cpu"), alone)
        image, mask = _pixels(share, 3, resolution), _pixels(share, 1, resolution)
        batch = Batch(image, mask, image.clone(), mask.clone(), tuple(range(share)))
        gradients = sum(_settle(optimizer) for optimizer in method.learning_rates)
        without_pools = live.bytes
        for pool in method.image_pools.values():
            pool.histories = {place: [_kept(resolution) for _ in range(config.image_pool)] for place in range(share)}
        image_pools = live.bytes - without_pools
        resting = live.bytes
        method.train_step(batch)
        peak = live.peak
    joined = gradients if world_size > 1 else 0
    return MemoryEstimate(resting + joined, peak + joined, image_pools)


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
