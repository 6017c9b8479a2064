"""Half the sides: as a matrix product, against the convolution."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from anomaly_gan.networks.halving import HalvingConv


@pytest.mark.parametrize(("channels", "sides"), [(64, (4, 4)), (32, (2, 4)), (16, (2, 2))])
def test_it_is_the_same_sum_as_a_product_and_as_a_convolution(channels: int, sides: tuple[int, int]) -> None:
    layer = HalvingConv(channels, 6).double()
    image = torch.randn(3, channels, *sides, dtype=torch.float64, requires_grad=True)
    found, expected = layer(image), nn.Conv2d.forward(layer, image)
    assert found.shape == (3, 6, sides[0] // 2, sides[1] // 2)
    assert torch.allclose(found, expected, atol=1e-12)
    inputs = [image, *layer.parameters()]
    gradients = [torch.autograd.grad(made.square().sum(), inputs) for made in (found, expected)]
    for one, wanted in zip(*gradients, strict=True):
        assert torch.allclose(one, wanted, atol=1e-10)


@pytest.mark.parametrize(("channels", "is_product"), [(256, True), (128, False)])
@pytest.mark.parametrize("images", [1, 8])
def test_it_is_a_product_where_that_is_quicker_whatever_the_batch(channels: int, is_product: bool, images: int) -> None:
    layer, image = HalvingConv(channels, 8), torch.zeros(images, channels, 8, 8)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(image)
    assert ("aten::convolution" not in {event.key for event in seen.key_averages()}) == is_product
