"""Twice the sides: multiplied at the small size, against resizing and a convolution; and transposed, without a grid."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from anomaly_gan.config import ModelConfig
from anomaly_gan.metrics.mask_change import grid_excess
from anomaly_gan.networks.generator import build_generator
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


def first_layers(seed: int) -> list[nn.ConvTranspose2d]:
    """The transposed layers of a U-Net with first weights."""
    torch.manual_seed(seed)
    model = {"upsample": "transposed", "generator_widths": (16, 16, 16)}
    modules = build_generator(ModelConfig.model_validate(model)).modules()
    return [module for module in modules if isinstance(module, nn.ConvTranspose2d)]


def test_first_weights_of_transposed_layers_do_what_resizing_to_the_nearest_does_before_a_convolution() -> None:
    """So four pixels that come of one are equal, and only what is learnt makes them differ."""
    layers = first_layers(0)
    assert len(layers) == 3
    for layer in layers:
        made = layer(torch.randn(1, layer.in_channels, 16, 16)).detach()[..., 1:-1, 1:-1]
        corners = [made[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        assert all(torch.allclose(corners[0], other, atol=1e-6) for other in corners[1:])
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)


def grid_of(layer: nn.Module, seed: int) -> float:
    """Grid in what a layer makes of features that are everywhere the same, in decades above a flat picture."""
    torch.manual_seed(seed)
    with torch.no_grad():
        made = layer(torch.randn(1, 16, 1, 1).expand(-1, -1, 24, 24))[0, :, 4:-4, 4:-4]
    levels = (128 + 30 * made / made.abs().mean((1, 2), keepdim=True)).round().clamp(0, 255).byte().numpy()
    found = [grid_excess(np.full_like(plane, 128), plane) for plane in levels]
    return float(np.mean([each for each in found if each is not None]))


@pytest.mark.parametrize("seed", range(3))
def test_even_features_show_no_grid_after_first_weights_and_do_after_torchs_own(seed: int) -> None:
    even = next(layer for layer in first_layers(seed) if layer.in_channels == 16)
    assert abs(grid_of(even, seed)) < 0.1
    assert grid_of(nn.ConvTranspose2d(16, 16, 4, 2, 1, bias=False), seed) > 1
