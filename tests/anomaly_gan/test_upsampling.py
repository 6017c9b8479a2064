"""Twice the sides: the folded form against resizing and a convolution."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, pad

from anomaly_gan.networks.upsampling import FoldedResizeConv, resize_conv


@pytest.mark.parametrize("sides", [(1, 1), (2, 5), (8, 8)])
def test_a_folded_convolution_is_that_of_the_resized_image(sides: tuple[int, int]) -> None:
    folded = FoldedResizeConv(5, 2).double()
    image = torch.randn(2, 5, *sides, dtype=torch.float64)
    resized = pad(interpolate(image, scale_factor=2, mode="bilinear"), (1, 1, 1, 1), mode="replicate")
    expected = conv2d(resized, folded.weight, folded.bias)
    found = folded(image)
    assert torch.allclose(found, expected, atol=1e-12)
    weights = list(folded.parameters())
    gradients = [torch.autograd.grad(made.square().sum(), weights) for made in (found, expected)]
    for one, wanted in zip(*gradients, strict=True):
        assert torch.allclose(one, wanted, atol=1e-10)


def test_a_constant_image_keeps_its_value_up_to_the_border() -> None:
    folded = FoldedResizeConv(1, 1)
    assert folded.bias is not None
    nn.init.constant_(folded.weight, 1 / 9)
    nn.init.zeros_(folded.bias)
    assert torch.allclose(folded(torch.full((1, 1, 4, 4), 3.0)), torch.tensor(3.0))


def test_both_forms_have_the_same_parameters_and_shapes() -> None:
    for layer in (resize_conv(8, 3, bias=True), FoldedResizeConv(8, 3)):
        assert {tuple(p.shape) for p in layer.parameters()} == {(3, 8, 3, 3), (3,)}
        assert layer(torch.zeros(2, 8, 4, 6)).shape == (2, 3, 8, 12)
