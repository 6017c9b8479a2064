"""The optimiser, its gradients, and the averaged weights, as every method here takes them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from anomaly_gan.config import OptimConfig

EMA_WARMUP_STEPS = 10


def adamw(module: nn.Module, optim: OptimConfig, rate: float) -> torch.optim.AdamW:
    """AdamW over all parameters of a module; without weight decay it is Adam."""
    betas = (optim.beta1, optim.beta2)
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=betas, weight_decay=optim.weight_decay, fused=True)


def gradient_norm(module: nn.Module) -> Tensor:
    """The L2 norm over all parameters, a scalar []; not finite as soon as one gradient is not."""
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])


def add_terms(total: dict[str, Tensor], terms: Mapping[str, Tensor], parts: int) -> None:
    """Add the terms of one of `parts` equal parts of a batch to those of the whole, without their graph."""
    for name, term in terms.items():
        total[name] = total.get(name, 0) + term.detach() / parts


def update_average(average: nn.Module, current: nn.Module, most_decay: float, step: int) -> None:
    """Move averaged weights towards the current ones; early steps count more, so the random start is soon forgotten.

    Args:
        average, current: modules of the same form; buffers are copied.
        most_decay: share of the average that is kept, once the run has warmed up.
        step: updates done before this one.
    """
    decay = min(most_decay, (1 + step) / (EMA_WARMUP_STEPS + step))
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move(list(average.parameters()), list(current.parameters()), 0)
    for kept, buffer in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)
