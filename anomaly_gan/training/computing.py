"""How a forward pass is computed: precision, recomputed activations, untouched running statistics, layout."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recomputed

from anomaly_gan.config import ComputeConfig
from anomaly_gan.networks.generator import Generator


def translate(
    net: Generator, image: Tensor, mask: Tensor, noise: Tensor | None, texture: Tensor | None, compute: ComputeConfig
) -> Tensor:
    """A generator's output [N, 3, H, W] in [-1, 1], fp32, computed as the config says.

    Args:
        image: [N, 3, H, W] in [-1, 1].
        mask: [N, 1, H, W] in {0, 1}.
        noise, texture: as the generator takes them.
    """
    with autocast(image.device, compute):
        if compute.recompute and torch.is_grad_enabled():
            translated: Tensor = recomputed(
                net, image, mask, noise, texture, use_reentrant=False, context_fn=partial(_recompute_contexts, net)
            )
        else:
            translated = net(image, mask, noise, texture)
    return translated.float()


def lay_out(modules: Iterable[nn.Module], device: torch.device, compute: ComputeConfig) -> None:
    """Move modules to the device, in the memory layout that the config names."""
    layout = torch.channels_last if compute.channels_last else torch.contiguous_format
    if (device.type, layout) != ("cpu", torch.contiguous_format):  # else they are there; fake tensors cannot be moved
        for module in modules:
            module.to(device).to(memory_format=layout)


def autocast(device: torch.device, compute: ComputeConfig) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16")


def precision_warning(compute: ComputeConfig, device: torch.device) -> str | None:
    """A sentence where bf16 is computed without instructions for it: steps were seen to take many times as long."""
    if compute.precision == "fp32" or device.type != "cpu":
        return None
    known = torch.cpu.get_capabilities()
    if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
        return None
    return "train.compute.precision: this CPU has no bf16 instructions, which makes bf16 far slower; use fp32"


def _recompute_contexts(net: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), statistics_kept(net)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Within it a forward pass leaves running means and variances as they are."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
