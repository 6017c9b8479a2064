"""Spectral norm (Miyato et al. 2018) that passes over a weight as few times as it can."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn.functional import normalize

FIRST_ITERATIONS = 15
EPS = 1e-12
"""Least norm that is divided by; the value of `torch.nn.functional.normalize`."""


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
            sigma = self._iterate(self.iterations if self.training else 0)
            u, v = self.u.clone(), self.v.clone()
        weight = _Normed.apply(self.layer.weight, u, v, sigma)
        output: Tensor = functional_call(self.layer, {"weight": weight}, input / sigma)
        return output

    def _matrix(self) -> Tensor:
        return self.layer.weight.flatten(1)

    @torch.no_grad()
    def _iterate(self, times: int) -> Tensor:
        """Improve the vectors; returns sigma = u^T W v, a scalar [], the norm that W^T u has before it becomes v."""
        matrix = self._matrix()
        if times == 0:
            return torch.vdot(self.u, torch.mv(matrix, self.v))
        for _ in range(times):
            torch.mv(matrix, self.v, out=self.u)
            normalize(self.u, dim=0, out=self.u)
            torch.mv(matrix.mT, self.u, out=self.v)
            sigma: Tensor = torch.linalg.vector_norm(self.v)
            self.v.div_(sigma.clamp_min(EPS))
        return sigma


class _Normed(Function):
    """W as it is, of a layer whose input is divided by sigma; its gradient is that of W / sigma with sigma = u^T W v.

    For G the gradient of the layer's own product, that is G - <G, W> / sigma u v^T (Miyato et al. 2018, Eq. 12): no
    other matrix of W's size is made.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor) -> Tensor:
        ctx.save_for_backward(weight, u, v, sigma)
        return weight.view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, u, v, sigma = ctx.saved_tensors
        towards = torch.vdot(gradient.flatten(), weight.flatten()) / sigma
        rows = (-towards * u).reshape(-1, *(1 for _ in weight.shape[1:]))
        return gradient.addcmul_(rows, v.view(weight.shape[1:])), None, None, None
