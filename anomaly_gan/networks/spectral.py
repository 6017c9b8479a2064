"""Spectral norm that is computed in float32 whatever the precision of the networks."""

from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

M = TypeVar("M", nn.Conv2d, nn.Linear)


class FullPrecisionSpectralNorm(_SpectralNorm):
    """torch's own, out of autocast: in bfloat16 the power iteration keeps 8 bits of the largest singular value."""

    def forward(self, weight: Tensor) -> Tensor:
        kind = weight.device.type
        can_cast = torch.amp.is_autocast_available(kind)  # not on the meta device
        with torch.autocast(kind, enabled=False) if can_cast else nullcontext():
            divided: Tensor = super().forward(weight)
        return divided


def spectral_norm(module: M) -> M:
    """`module` with its weight divided by its largest singular value; one power iteration a forward in training."""
    parametrize.register_parametrization(module, "weight", FullPrecisionSpectralNorm(module.weight))
    return module
