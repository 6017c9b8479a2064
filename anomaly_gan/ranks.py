"""The processes that train together, one rank each; alone where torch.distributed was not started."""

from functools import cache
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


def rank() -> int:
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    return dist.get_world_size() if _together() else 1


def gather(value: T) -> list[T]:
    """Every rank's value, in the order of ranks; each rank must call it."""
    if not _together():
        return [value]
    values = [value] * world_size()
    dist.all_gather_object(values, value, group=_host_group())
    return values


def collect(value: T) -> list[T]:
    """Every rank's value at rank 0, in the order of ranks, and nothing elsewhere; each rank must call it."""
    if not _together():
        return [value]
    values = [value] * world_size() if rank() == 0 else []
    dist.gather_object(value, values or None, group=_host_group())
    return values


def anyone(flag: bool) -> bool:
    """Whether any rank says yes; each rank must call it. Cheap enough for every step, and no GPU waits for it."""
    if not _together():
        return flag
    said = torch.tensor([int(flag)])
    dist.all_reduce(said, dist.ReduceOp.MAX, group=_host_group())
    return bool(said.item())


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


@cache
def _host_group() -> dist.ProcessGroup | None:
    """A group for values in host memory; the gradients' own where that is one already."""
    if dist.get_backend() == "gloo":
        return None
    made = dist.new_group(backend="gloo")
    assert isinstance(made, dist.ProcessGroup)
    return made
