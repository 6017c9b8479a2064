"""Generators, discriminators and the aware network: sizes, shapes, ranges, gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.aware import IMAGENET_MEAN, IMAGENET_STD, AwareNetwork, load_vgg16
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.generator import UNet, build_generator
from infra.errors import DataError
from tests.builders import TINY_NETWORKS, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(TINY_NETWORKS | changes)


def gray_images(count: int, size: int = 64) -> Tensor:
    return (torch.rand(count, 1, size, size) * 2 - 1).expand(-1, 3, -1, -1).contiguous()


def square_masks(count: int, size: int = 64) -> Tensor:
    masks = torch.zeros(count, 1, size, size)
    masks[..., 20:31, 9:40] = 1
    return masks


def assert_every_parameter_has_a_gradient(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_unet_has_the_size_of_the_papers_table_2() -> None:
    with torch.device("meta"):
        unet = UNet(ModelConfig(upsample="transposed", generator_norm="batch", gray=False))
    assert parameters(unet) == 11_416_707
    assert parameters(unet) * 4 / 2**20 == pytest.approx(43.5, abs=0.1)


def test_discriminator_has_its_size_in_both_subnets() -> None:
    with torch.device("meta"):
        net = LocalGlobalDiscriminator(512, ModelConfig(discriminator_norm="batch", discriminator_input="masked"))
    assert round(parameters(net.local_subnet) / 1e6, 2) == 12.70
    assert round(parameters(net.global_subnet) / 1e6, 2) == 32.36
    assert round(parameters(net) / 1e6, 2) == 45.06


def test_aware_network_has_the_size_of_vgg_16_up_to_conv3_3() -> None:
    assert parameters(AwareNetwork()) == 1_735_488


@pytest.mark.parametrize(("resolution", "convs"), [(64, 4), (128, 5), (512, 7)])
def test_the_global_subnet_has_as_many_convolutions_as_the_resolution_needs(resolution: int, convs: int) -> None:
    with torch.device("meta"):
        net = LocalGlobalDiscriminator(resolution, tiny())
    assert sum(isinstance(m, nn.Conv2d) for m in net.global_subnet.modules()) == convs
    assert sum(isinstance(m, nn.Conv2d) for m in net.local_subnet.modules()) == 4


GENERATORS = [
    {"upsample": upsample, "generator_norm": norm, "residual": residual, "gray": gray}
    for upsample, norm, residual, gray in [
        ("resize", "instance", True, True),
        ("resize", "batch", False, False),
        ("transposed", "instance", False, True),
        ("transposed", "batch", True, False),
    ]
]


@pytest.mark.parametrize("changes", GENERATORS, ids=str)
def test_a_generator_returns_images_in_range_and_learns_in_every_parameter(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny(**changes))
    output = generator(gray_images(2), square_masks(2))
    assert output.shape == (2, 3, 64, 64)
    assert output.abs().max() <= 1
    output.square().mean().backward()
    assert_every_parameter_has_a_gradient(generator)


def test_a_generator_takes_views_that_are_not_square() -> None:
    assert tiny_generator()(torch.zeros(1, 3, 64, 96), torch.zeros(1, 1, 64, 96)).shape == (1, 3, 64, 96)


@pytest.mark.parametrize("changes", GENERATORS, ids=str)
def test_an_image_comes_out_the_same_whatever_else_is_in_the_batch(changes: dict[str, Any]) -> None:
    generator, images, masks = tiny_generator(**changes), gray_images(3), square_masks(3)
    together = generator(images, masks)
    images[0], images[2] = -1, 1
    assert torch.allclose(generator(images, masks)[1], together[1], atol=1e-6)
    assert torch.allclose(generator(images[1:2], masks[1:2])[0], together[1], atol=1e-5)


@pytest.mark.parametrize("residual", [True, False])
def test_the_planes_of_a_gray_generator_are_equal_and_those_of_a_colour_one_are_not(residual: bool) -> None:
    for gray in (True, False):
        output = tiny_generator(gray=gray, residual=residual)(gray_images(1), square_masks(1))
        assert torch.equal(output[:, 0], output[:, 1]) == gray
        assert torch.equal(output[:, 0], output[:, 2]) == gray


def test_a_residual_generator_begins_near_the_identity_and_another_does_not() -> None:
    torch.manual_seed(0)
    images, masks = gray_images(2), square_masks(2)
    change = {
        residual: (build_generator(ModelConfig(residual=residual))(images, masks) - images).abs().mean().item()
        for residual in (True, False)
    }
    assert 0 < change[True] < 0.08
    assert change[False] > 0.2


def test_a_generator_sees_the_mask() -> None:
    images = gray_images(1)
    generator = tiny_generator()
    assert not torch.allclose(generator(images, square_masks(1)), generator(images, torch.zeros(1, 1, 64, 64)))


DISCRIMINATORS = [
    {"discriminator_norm": norm, "discriminator_input": seen}
    for norm in ("batch", "spectral")
    for seen in ("masked", "mask_channel")
]


@pytest.mark.parametrize("changes", DISCRIMINATORS, ids=str)
def test_a_discriminator_returns_one_logit_an_image_and_learns_in_every_parameter(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = LocalGlobalDiscriminator(128, tiny(**changes))
    planes = 4 if changes["discriminator_input"] == "mask_channel" else 3
    logits = net(torch.randn(3, planes, 128, 128), torch.randn(3, planes, 64, 64), torch.ones(3))
    assert logits.shape == (3,)
    logits.square().sum().backward()
    assert_every_parameter_has_a_gradient(net)


@pytest.mark.parametrize("changes", DISCRIMINATORS[::2], ids=str)
def test_a_discriminator_in_evaluation_judges_each_image_alone(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = LocalGlobalDiscriminator(64, tiny(**changes)).eval()
    view, crop = torch.randn(3, 3, 64, 64), torch.randn(3, 3, 64, 64)
    together = net(view, crop, torch.ones(3))
    assert torch.allclose(net(view[1:2], crop[1:2], torch.ones(1)), together[1:2], atol=1e-5)


def test_without_a_mask_the_crop_has_no_say() -> None:
    torch.manual_seed(0)
    net = LocalGlobalDiscriminator(64, tiny(discriminator_input="masked")).eval()
    view, crops, has_mask = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 64, 64), torch.tensor([0.0, 1.0])
    before, after = net(view, crops, has_mask), net(view, crops + 5, has_mask)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_taps_are_those_of_the_papers_fig_6_and_frozen_weights_let_gradients_through() -> None:
    network = AwareNetwork().frozen()
    crops = torch.rand(2, 3, 64, 64, requires_grad=True)
    taps = network(crops)
    assert [tuple(tap.shape) for tap in taps] == [(2, 64, 64, 64), (2, 256, 16, 16), (2, 256, 16, 16)]
    assert all((tap >= 0).all() for tap in taps)
    sum(tap.mean() for tap in taps).backward()
    assert crops.grad is not None and crops.grad.abs().sum() > 0
    assert not network.training and all(parameter.grad is None for parameter in network.parameters())


def vgg16_state() -> dict[str, Tensor]:
    """The names and shapes of torchvision's VGG-16, as far as the aware network reaches, and a layer beyond it."""
    torch.manual_seed(0)
    widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
    state = {"classifier.6.bias": torch.zeros(1000)}
    for number, (before, after) in widths.items():
        state[f"features.{number}.weight"] = torch.randn(after, before, 3, 3) * 0.05
        state[f"features.{number}.bias"] = torch.randn(after) * 0.1
    return state


def test_the_state_of_torchvisions_vgg_16_is_named_and_shaped_as_ours() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        theirs = vgg16(weights=None).state_dict()
    assert {key: theirs[key].shape for key in AwareNetwork().state_dict()} == {
        key: tensor.shape for key, tensor in vgg16_state().items() if key.startswith("features.")
    }


def test_loaded_vgg_16_taps_equal_torchvisions_layers_on_imagenet_normalised_crops() -> None:
    from torchvision.models import vgg16

    theirs = vgg16(weights=None).features[:16]
    network = load_vgg16({f"features.{key}": value for key, value in theirs.state_dict().items()}, "vgg")
    crops = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    features, wanted = (crops - mean) / std, []
    with torch.no_grad():
        for number, layer in enumerate(theirs):
            features = layer(features)
            wanted += [features.clone()] if number in (3, 11, 15) else []
        for tap, other in zip(network(crops * 2 - 1), wanted, strict=True):
            assert torch.allclose(tap, other, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_vgg_16_state_without_a_tensor_is_refused_by_its_name() -> None:
    state = vgg16_state()
    del state["features.7.bias"]
    with pytest.raises(DataError, match=r"^s3://w/vgg.pth: has no features\.7\.bias"):
        load_vgg16(state, "s3://w/vgg.pth")


def test_a_vgg_16_state_of_another_shape_is_refused_with_both_shapes() -> None:
    state = vgg16_state() | {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    wanted = r"^vgg.pth: features\.0\.weight has shape \(64, 1, 3, 3\), expected \(64, 3, 3, 3\)"
    with pytest.raises(DataError, match=wanted):
        load_vgg16(state, "vgg.pth")
