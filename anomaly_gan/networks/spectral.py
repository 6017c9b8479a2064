"""Spectral norm that is computed in float32 whatever the precision of the networks."""

from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

M = TypeVar("M", nn.Conv2d, nn.Linear)


class FullPrecisionSpectralNorm(_SpectralNorm):
    """torch's own, out of autocast, and with a backward pass that passes over the weight fewer times.

    In bfloat16 the power iteration would keep 8 bits of the largest singular value.
    """

    def forward(self, weight: Tensor) -> Tensor:
        kind = weight.device.type
        can_cast = torch.amp.is_autocast_available(kind)  # not on the meta device
        with torch.autocast(kind, enabled=False) if can_cast else nullcontext():
            matrix = self._reshape_weight_to_matrix(weight)
            if self.training:
                self._power_method(matrix, self.n_power_iterations)
            divided: Tensor = _DividedBySigma.apply(matrix, self._u.clone(), self._v.clone())
            return divided.view_as(weight)


class _DividedBySigma(Function):
    """W / sigma with sigma = u^T W v, u and v constant (Miyato et al. 2018, Eq. 12).

    A discriminator has 45 million weights: autograd's own division would make five temporaries of that size.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
        sigma = torch.vdot(u, torch.mv(weight, v))
        divided = weight / sigma
        ctx.save_for_backward(divided, sigma, u, v)
        return divided

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(G - <G, W / sigma> u v^T) / sigma."""
        divided, sigma, u, v = ctx.saved_tensors
        along = torch.vdot(gradient.reshape(-1), divided.reshape(-1))
        return torch.addr(gradient, -along * u, v).div_(sigma), None, None


def spectral_norm(module: M) -> M:
    """`module` with its weight divided by its largest singular value; one power iteration a forward in training."""
    parametrize.register_parametrization(module, "weight", FullPrecisionSpectralNorm(module.weight))
    return module
