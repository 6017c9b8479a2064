"""Spectral norm (Miyato et al. 2018) that passes over a weight as few times as it can."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

FIRST_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """A convolution or linear layer whose weight W counts as W / sigma, sigma its largest singular value.

    It is the input that is divided: the layer is linear, and a discriminator has 45 million weights but few pixels.
    In float32 whatever the precision of the networks: in bfloat16 the power iteration would keep 8 bits of sigma.

    Attributes:
        iterations: of the power method in each forward in training mode; 0 takes the vectors as they are.
    """

    u: Tensor
    v: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.iterations = 1
        rows, columns = self._matrix().shape
        self.register_buffer("u", normalize(layer.weight.new_empty(rows).normal_(), dim=0))
        self.register_buffer("v", normalize(layer.weight.new_empty(columns).normal_(), dim=0))
        self._iterate(FIRST_ITERATIONS)

    def forward(self, input: Tensor) -> Tensor:
        kind = self.layer.weight.device.type
        can_cast = torch.amp.is_autocast_available(kind)  # not on the meta device
        with torch.autocast(kind, enabled=False) if can_cast else nullcontext():
            if self.training:
                self._iterate(self.iterations)
            sigma = _Sigma.apply(self._matrix(), self.u.clone(), self.v.clone())
        output: Tensor = self.layer(input / sigma)
        return output

    def _matrix(self) -> Tensor:
        return self.layer.weight.flatten(1)

    @torch.no_grad()
    def _iterate(self, times: int) -> None:
        matrix = self._matrix()
        for _ in range(times):
            torch.mv(matrix, self.v, out=self.u)
            normalize(self.u, dim=0, out=self.u)
            torch.mv(matrix.mT, self.u, out=self.v)
            normalize(self.v, dim=0, out=self.v)


class _Sigma(Function):
    """u^T W v with constant u and v, a scalar [] (Eq. 12)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
        ctx.save_for_backward(u, v)
        return torch.vdot(u, torch.mv(weight, v))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        u, v = ctx.saved_tensors
        return torch.outer(gradient * u, v), None, None
