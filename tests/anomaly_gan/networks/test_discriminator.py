"""The local-global discriminators: sizes, what they look at, norms, precision."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.spectral import SpectralNorm
from tests.support.builders import TINY_NETWORKS

pytestmark = pytest.mark.usefixtures("one_thread")

NORMS = ("batch", "sync", "instance", "group", "spectral")


def discriminator(resolution: int = 64, **changes: Any) -> LocalGlobalDiscriminator:
    torch.manual_seed(0)
    small = TINY_NETWORKS | {"discriminator_input": "masked"}
    return LocalGlobalDiscriminator(resolution, ModelConfig.model_validate(small | changes))


def unbuilt(resolution: int, **changes: Any) -> LocalGlobalDiscriminator:
    """Of full width, without memory."""
    with torch.device("meta"):
        return LocalGlobalDiscriminator(resolution, ModelConfig.model_validate(changes))


def parameters(module: nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


def channels(module: nn.Module | None) -> list[int]:
    assert module is not None
    return [m.out_channels for m in module.modules() if isinstance(m, nn.Conv2d)]


def seen(count: int, boxes: int = 1, planes: int = 3, resolution: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """View, crops and has_mask."""
    random = torch.Generator().manual_seed(1)
    view = torch.randn(count, planes, resolution, resolution, generator=random)
    return view, torch.randn(count * boxes, planes, 64, 64, generator=random), torch.ones(count)


# --- sizes


def test_it_has_its_size_in_both_subnets() -> None:
    net = unbuilt(512, discriminator_norm="batch", discriminator_input="masked")
    assert round(parameters(net.local_subnet) / 1e6, 2) == 12.70
    assert round(parameters(net.global_subnet) / 1e6, 2) == 32.36
    assert round(parameters(net) / 1e6, 2) == 45.06


def fully_connected(layer: nn.Module) -> nn.Linear:
    """The layer itself, or what its spectral norm wraps."""
    (linear,) = (module for module in layer.modules() if isinstance(module, nn.Linear))
    return linear


@pytest.mark.parametrize(("resolution", "convs"), [(64, 4), (128, 5), (256, 6), (512, 7), (1024, 8)])
def test_the_global_subnet_has_as_many_convolutions_as_the_resolution_needs(resolution: int, convs: int) -> None:
    net = unbuilt(resolution)
    assert channels(net.global_subnet) == ([64, 128, 256] + [512] * 5)[:convs]
    assert channels(net.local_subnet) == [64, 128, 256, 512]


@pytest.mark.parametrize(
    ("factor", "widths", "features"),
    [
        (1, [64, 128, 256, 512], 1024),
        (0.25, [16, 32, 64, 128], 256),
        (2, [128, 256, 512, 1024], 2048),
        (0.3, [20, 40, 76, 152], 308),
        (0.001, [4, 4, 4, 4], 4),
    ],
)
def test_width_mult_scales_channels_and_features_in_steps_of_four(
    factor: float, widths: list[int], features: int
) -> None:
    net = unbuilt(64, width_mult=factor)
    for subnet in (net.local_subnet, net.global_subnet):
        assert channels(subnet) == widths
        assert subnet is not None and fully_connected(subnet.linear).out_features == features
    assert fully_connected(net.head).in_features == 2 * features


@pytest.mark.parametrize("resolution", [64, 128, 1024])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_takes_every_size_of_view(norm: str, resolution: int) -> None:
    net = discriminator(resolution, discriminator_norm=norm, width_mult=0.0625)
    with torch.no_grad():
        assert net(*seen(2, resolution=resolution)).shape == (2,)


# --- judging


@pytest.mark.parametrize("planes", [3, 4])
@pytest.mark.parametrize("norm", NORMS)
def test_it_returns_one_logit_an_image_and_learns_in_every_parameter(norm: str, planes: int) -> None:
    look = "mask_channel" if planes == 4 else "masked"
    net = discriminator(128, discriminator_norm=norm, discriminator_input=look)
    logits = net(*seen(3, planes=planes, resolution=128))
    assert logits.shape == (3,)
    logits.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        if "weight" in name:  # a norm takes the bias before it away again
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("norm", NORMS)
def test_it_says_whether_a_logit_depends_on_the_rest_of_the_batch(norm: str) -> None:
    net = discriminator(discriminator_norm=norm)
    other = deepcopy(net)  # each forward moves the vectors of spectral norm
    view, crop, has_mask = seen(4)
    together, alone = net(view, crop, has_mask)[:2], other(view[:2], crop[:2], has_mask[:2])
    assert torch.allclose(together, alone, atol=1e-6) == (not net.mixes_images)
    assert net.mixes_images == (norm in ("batch", "sync"))


@pytest.mark.parametrize("norm", NORMS)
def test_in_evaluation_it_judges_each_image_alone(norm: str) -> None:
    net = discriminator(discriminator_norm=norm).eval()
    view, crop, has_mask = seen(3)
    together = net(view, crop, has_mask)
    assert torch.allclose(net(view[1:2], crop[1:2], has_mask[1:2]), together[1:2], atol=1e-5)


def test_without_a_mask_the_crop_has_no_say() -> None:
    net = discriminator().eval()
    view, crops, _ = seen(2)
    has_mask = torch.tensor([0.0, 1.0])
    before, after = net(view, crops, has_mask), net(view, crops + 5, has_mask)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_the_features_of_an_images_boxes_are_averaged() -> None:
    net = discriminator().eval()
    view, crops, _ = seen(2, boxes=3)
    has_mask = torch.tensor([1.0, 0.5])
    assert net.local_subnet is not None
    local = [torch.stack([net.local_subnet(c[None])[0] for c in boxes]).mean(0) for boxes in (crops[:3], crops[3:])]
    features = torch.cat([torch.stack(local) * has_mask[:, None], net.global_subnet(view)], 1)
    assert torch.allclose(net(view, crops, has_mask), net.head(features).flatten(), atol=1e-6)


def test_a_box_given_twice_is_as_given_once() -> None:
    net = discriminator().eval()
    view, crops, has_mask = seen(2)
    twice = crops.repeat_interleave(2, 0)
    assert torch.allclose(net(view, twice, has_mask), net(view, crops, has_mask), atol=1e-6)


def test_with_global_only_there_is_no_local_subnet_and_only_the_view_has_a_say() -> None:
    net = discriminator(global_only=True).eval()
    view, crops, has_mask = seen(2, boxes=2)
    logits = net(view, crops, has_mask)
    assert net.local_subnet is None
    assert torch.equal(logits, net.head(net.global_subnet(view)).flatten())
    assert torch.equal(logits, net(view, crops + 5, has_mask * 0))
    full = unbuilt(512, global_only=True, discriminator_input="masked", discriminator_norm="batch")
    assert parameters(full) == parameters(full.global_subnet) + 1024 + 1
    assert round(parameters(full) / 1e6, 2) == 32.36


# --- precision


@pytest.mark.parametrize("norm", NORMS)
def test_under_bfloat16_logits_stay_float32_and_near_those_of_full_precision(norm: str) -> None:
    net = discriminator(discriminator_norm=norm)
    other = deepcopy(net)
    full = net(*seen(3))
    with torch.autocast("cpu", torch.bfloat16):
        half = other(*seen(3))
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05


@pytest.mark.parametrize("norm", NORMS)
def test_channels_last_changes_nothing(norm: str) -> None:
    net = discriminator(discriminator_norm=norm)
    other = deepcopy(net).to(memory_format=torch.channels_last)
    view, crops, has_mask = seen(3)
    last = view.to(memory_format=torch.channels_last), crops.to(memory_format=torch.channels_last)
    assert torch.allclose(other(*last, has_mask), net(view, crops, has_mask), atol=1e-5)


def test_spectral_norm_is_the_same_with_and_without_autocast() -> None:
    net = discriminator(discriminator_norm="spectral")
    other = deepcopy(net)
    for _ in range(3):
        net(*seen(2))
        with torch.autocast("cpu", torch.bfloat16):
            other(*seen(2))
    buffers = dict(net.named_buffers())
    assert len(buffers) == 2 * 11  # both vectors of 8 convolutions and 3 linear layers
    for name, buffer in other.named_buffers():
        assert buffer.dtype == torch.float32 and torch.equal(buffer, buffers[name]), name


class Watch(TorchFunctionMode):
    """Notes for each matrix-vector product whether autocast could take it: on CUDA it would, on the CPU never."""

    def __init__(self) -> None:
        super().__init__()
        self.casts: list[bool] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.mv:
            self.casts.append(torch.is_autocast_enabled("cpu"))
        return func(*args, **(kwargs or {}))


def test_spectral_norm_is_computed_out_of_autocast() -> None:
    conv = SpectralNorm(nn.Conv2d(6, 8, 3))
    with torch.autocast("cpu", torch.bfloat16), Watch() as watch:
        assert conv(torch.randn(1, 6, 4, 4)).dtype == torch.bfloat16
        assert torch.is_autocast_enabled("cpu")
    assert watch.casts == [False] * 2  # both vectors, the second with the singular value


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    conv, image = nn.Conv2d(6, 8, 3), torch.randn(2, 6, 9, 9)
    largest = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), 2)
    expected = nn.functional.conv2d(image, conv.weight / largest, conv.bias)
    normed = SpectralNorm(conv)
    for _ in range(50):
        output = normed(image)
    assert torch.allclose(output, expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shape", [(2, 6, 9, 9), (4, 6)], ids=["convolution", "linear"])
def test_spectral_norm_and_its_gradients_are_torchs(shape: tuple[int, ...], training: bool) -> None:
    torch.manual_seed(0)
    layer: nn.Conv2d | nn.Linear = nn.Conv2d(6, 8, 3) if len(shape) == 4 else nn.Linear(6, 5)
    other: Any = nn.utils.parametrizations.spectral_norm(deepcopy(layer))
    vectors, mine = other.parametrizations.weight[0], SpectralNorm(layer).train(training)
    vectors._u.copy_(mine.u)
    vectors._v.copy_(mine.v)
    image = torch.randn(shape)
    assert layer.bias is not None
    found: list[list[Tensor | None]] = []
    for net, weight, bias in (
        (mine, layer.weight, layer.bias),
        (other.train(training), other.parametrizations.weight.original, other.bias),
    ):
        shown = image.clone().requires_grad_()
        output = net(shown)
        output.square().sum().backward()
        found.append([output, shown.grad, weight.grad, bias.grad])
    found[0] += [mine.u, mine.v]
    found[1] += [vectors._u, vectors._v]
    for one, wanted in zip(*found, strict=True):
        assert one is not None and wanted is not None
        assert torch.allclose(one, wanted, rtol=1e-4, atol=1e-5)
