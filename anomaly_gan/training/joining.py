"""How several ranks share a batch and join their gradients."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from anomaly_gan.config import TrainConfig
from infra.errors import UsageError

Wrap = Callable[[nn.Module], nn.Module]
"""Gives a module whose backward pass joins the gradients of all ranks."""


def alone(module: nn.Module) -> nn.Module:
    """The `Wrap` of a single rank."""
    return module


def join_ranks(device: torch.device) -> Wrap:
    """DDP where several ranks train together.

    It leaves buffers alone: rank 0's batch statistics must not replace those of the others, and to send them between
    two forward passes before one backward pass raised in some versions of torch (pytorch issue 175024).
    """

    def wrap(module: nn.Module) -> nn.Module:
        device_ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=device_ids, forward_sync_buffers=False)

    return wrap


def gradients_joined(module: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Within it a backward pass joins the ranks' gradients, or leaves that to a later one."""
    if now or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    unjoined: AbstractContextManager[None] = module.no_sync()
    return unjoined


def check_ranks(config: TrainConfig, world_size: int) -> None:
    """Refuse a batch that the ranks cannot share.

    Raises:
        UsageError: batch_size is no multiple of workers times parts, or batch norm would see one image.
    """
    accumulate = config.compute.accumulate
    shares = world_size * accumulate
    share, rest = divmod(config.batch_size, shares)
    if rest:
        by = f"{world_size} workers" + (f" in {accumulate} parts each" if accumulate > 1 else "")
        raise UsageError(
            f"train.batch_size: {config.batch_size} pairs cannot be shared by {by}; use a multiple of {shares}"
        )
    norms = (config.model.generator_norm, config.model.discriminator_norm)
    joined = world_size if "batch" not in norms else 1
    if ("batch" in norms or "sync" in norms) and share * joined < 2:
        raise UsageError(
            f"train.batch_size: batch norm needs 2 pairs per worker and part, got {share};"
            " raise batch_size, lower workers or train.compute.accumulate, or use instance and spectral norm"
        )
