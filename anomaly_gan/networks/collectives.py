"""The one place of the networks that uses what torch keeps private."""

import torch.distributed as dist
from torch import Tensor

# Private, and yet the function that torch itself names: the only public sum over ranks that passes gradients on is
# `torch.distributed.nn.functional.all_reduce`, and torch 2.14 warns that it is deprecated in favour of this one, which
# torch.compile also traces. Once torch moves it to a public module, import it from there; nothing else has to change.
from torch.distributed._functional_collectives import all_reduce, wait_tensor


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a tensor over all ranks, the same on each; its gradient is the sum of theirs.

    Args:
        values: of the same shape on all ranks, which must all make the call, forward and backward.
    """
    group = dist.group.WORLD
    assert group is not None
    summed: Tensor = wait_tensor(all_reduce(values, "sum", group))  # type: ignore[no-untyped-call]
    return summed
