"""Twice the sides: multiplied at the small size, against resizing and a convolution."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from anomaly_gan.networks.upsampling import ResizeConv


@pytest.mark.parametrize(("in_channels", "sides"), [(5, (1, 1)), (5, (2, 5)), (16, (16, 9)), (5, (6, 2))])
@pytest.mark.parametrize("out_channels", [2, 12])
@pytest.mark.parametrize("bias", [True, False])
def test_a_resized_convolution_is_the_same_sum_at_whichever_size_it_is_done(
    in_channels: int, sides: tuple[int, int], out_channels: int, bias: bool
) -> None:
    layer = ResizeConv(in_channels, out_channels, bias=bias).double()
    image = torch.randn(2, in_channels, *sides, dtype=torch.float64, requires_grad=True)
    found, expected = layer(image), nn.Sequential(*layer)(image)
    assert torch.allclose(found, expected, atol=1e-12)
    inputs = [image, *layer.parameters()]
    gradients = [torch.autograd.grad(made.square().sum(), inputs) for made in (found, expected)]
    for one, wanted in zip(*gradients, strict=True):
        assert torch.allclose(one, wanted, atol=1e-10)


@pytest.mark.parametrize(("channels", "is_small"), [((16, 64), True), ((4, 64), False), ((4, 2), True)])
def test_it_is_done_at_the_small_size_where_that_is_quicker(channels: tuple[int, int], is_small: bool) -> None:
    layer, image = ResizeConv(*channels, bias=False), torch.zeros(1, channels[0], 8, 8)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(image)
    assert ("aten::upsample_bilinear2d" in {event.key for event in seen.key_averages()}) != is_small
