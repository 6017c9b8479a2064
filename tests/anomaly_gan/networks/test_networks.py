"""The generators of every kind: sizes, shapes, ranges, gradients."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.generator import Generator, UNet, build_generator, check_view, make_generator
from infra.errors import UsageError
from tests.support.builders import TINY_NETWORKS, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("unet", "resunet", "resnet9")
NORMS = ("batch", "sync", "instance", "group")
TINY = TINY_NETWORKS | {"resnet_width": 4}
NOTHING_LAID_IN: dict[str, Any] = {"noise_planes": 0, "content": "image", "opacity_start": -2.0}
"""As it was before generators had noise and exemplars; see `test_noise.py` and `test_laying.py` for these."""


def tiny(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(TINY | changes)


def moved(**changes: Any) -> Generator:
    """In evaluation mode, with every parameter off its starting value so that it changes the image."""
    return tiny_generator(**({"resnet_width": 4} | changes))


def gray_images(count: int, size: int = 64) -> Tensor:
    return (torch.rand(count, 1, size, size) * 2 - 1).expand(-1, 3, -1, -1).contiguous()


def square_masks(count: int, size: int = 64) -> Tensor:
    masks = torch.zeros(count, 1, size, size)
    masks[..., 20:31, 9:40] = 1
    return masks


def test_unet_has_the_size_of_the_papers_table_2() -> None:
    with torch.device("meta"):
        paper = {"upsample": "transposed", "generator_norm": "batch", "gray": False, "blend": False}
        unet = UNet(ModelConfig.model_validate(NOTHING_LAID_IN | paper))
    count = sum(parameter.numel() for parameter in unet.parameters())
    assert count == 11_416_707
    assert count * 4 / 2**20 == pytest.approx(43.5, abs=0.1)


def test_unets_weights_keep_their_names() -> None:
    named = {}
    for form, changes in {"before": {"upsample": "resize"} | NOTHING_LAID_IN, "now": {}}.items():
        with torch.device("meta"):
            unet = UNet(tiny(generator_widths=(8, 16, 16), generator_norm="group", **changes))
        named[form] = {name.rpartition(".")[0] for name in unet.state_dict()}
    downs = {"downs.0.0", "downs.1.1", "downs.1.2", "downs.2.1"}
    assert named["before"] == downs | {"ups.0.1.1", "ups.0.2", "ups.1.1.1", "ups.1.2", "head.1.1", "detail"}
    assert named["now"] == downs | {"ups.0.1", "ups.0.2", "ups.1.1", "ups.1.2", "head.1", "texture.mix", "texture.out"}


@pytest.mark.parametrize("kind", KINDS)
def test_both_builders_make_the_class_that_the_config_names(kind: str) -> None:
    config = tiny(generator=kind)
    made, built = make_generator(config), build_generator(config)
    assert type(made) is type(built) and isinstance(made, Generator)
    assert isinstance(made, UNet) == (kind == "unet")
    assert made.state_dict().keys() == built.state_dict().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_at_full_resolution_learns_16_times_as_fast(kind: str) -> None:
    """Its weights begin so many times smaller and are multiplied by 16 (the blending test below)."""
    torch.manual_seed(0)
    generator = build_generator(tiny(generator=kind, gray=False, **NOTHING_LAID_IN))
    assert generator.detail is not None
    assert generator.detail.weight.std().item() == pytest.approx(0.02 * generator.blend_init / 16, rel=0.2)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_begin_as_cyclegans(kind: str) -> None:
    torch.manual_seed(0)
    model = NOTHING_LAID_IN | {"generator": kind, "resnet_width": 16, "blend": False}
    generator = build_generator(ModelConfig.model_validate(model))
    for name, module in generator.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert module.bias is None or not module.bias.any()


FORMS: list[tuple[str, str, bool, bool, dict[str, Any]]] = [
    ("resize", "instance", True, True, NOTHING_LAID_IN),
    ("resize", "batch", False, False, NOTHING_LAID_IN),
    ("transposed", "group", False, True, {"content": "filling"}),
    ("transposed", "sync", True, False, {"content": "exemplar"}),
    ("transposed", "instance", True, True, {"noise_planes": 1}),
]
GENERATORS: list[dict[str, Any]] = [
    {"generator": kind, "upsample": upsample, "generator_norm": norm, "blend": blend, "gray": gray} | laid
    for kind in KINDS
    for upsample, norm, blend, gray, laid in FORMS
]


def label(changes: dict[str, Any]) -> str:
    return "-".join(str(value) for value in changes.values())


@pytest.mark.parametrize("changes", GENERATORS, ids=label)
def test_a_generator_returns_images_in_range_and_learns_in_every_parameter(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny(**changes))
    output = generator(gray_images(2), square_masks(2))
    assert output.shape == (2, 3, 64, 64)
    assert output.abs().max() <= 1
    output.square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith("weight"):  # a norm takes the bias before it away again
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_has_the_norm_that_the_config_names(kind: str, norm: str) -> None:
    names = {"batch": "BatchNorm2d", "sync": "SyncBatchNorm2d", "instance": "InstanceNorm2d", "group": "GroupNorm"}
    found = {type(m).__name__ for m in make_generator(tiny(generator=kind, generator_norm=norm)).modules()}
    assert {name for name in found if "Norm" in name} == {names[norm]}


@pytest.mark.parametrize("size", [64, 128, 1024])
@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_takes_every_size_of_view(kind: str, size: int) -> None:
    with torch.inference_mode():
        output = moved(generator=kind)(torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size))
    assert output.shape == (1, 3, size, size)


@pytest.mark.parametrize(("kind", "sides"), [("unet", (64, 96)), ("resunet", (68, 100)), ("resnet9", (68, 100))])
def test_a_generator_takes_views_that_are_not_square(kind: str, sides: tuple[int, int]) -> None:
    assert moved(generator=kind)(torch.zeros(1, 3, *sides), torch.zeros(1, 1, *sides)).shape == (1, 3, *sides)


@pytest.mark.parametrize("changes", GENERATORS, ids=label)
def test_an_image_comes_out_the_same_whatever_else_is_in_the_batch(changes: dict[str, Any]) -> None:
    generator, images, masks = moved(**changes), gray_images(3), square_masks(3)
    together = generator(images, masks)
    images[0], images[2] = -1, 1
    assert torch.allclose(generator(images, masks)[1], together[1], atol=1e-6)
    assert torch.allclose(generator(images[1:2], masks[1:2])[0], together[1], atol=5e-5)  # a 150th of a grey level


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_planes_of_a_gray_generator_are_equal_and_those_of_a_colour_one_are_not(kind: str, blend: bool) -> None:
    for gray in (True, False):
        output = moved(generator=kind, gray=gray, blend=blend)(gray_images(1), square_masks(1))
        assert torch.equal(output[:, 0], output[:, 1]) == gray
        assert torch.equal(output[:, 0], output[:, 2]) == gray


@pytest.mark.parametrize("kind", KINDS)
def test_a_blending_generator_begins_near_the_identity_and_another_does_not(kind: str) -> None:
    torch.manual_seed(0)
    images, masks = gray_images(2), square_masks(2)
    change = {}
    for blend in (True, False):
        model = NOTHING_LAID_IN | {"generator": kind, "blend": blend}
        generator = build_generator(ModelConfig.model_validate(model))
        with torch.no_grad():
            change[blend] = (generator(images, masks) - images).abs().mean().item()
    assert 0 < change[True] < 0.08
    assert change[False] > 0.2


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_blending_generator_lays_its_content_over_the_image_by_its_opacity(kind: str, gray: bool) -> None:
    generator = moved(generator=kind, gray=gray, **NOTHING_LAID_IN)
    images, masks = gray_images(2), square_masks(2)
    seen = torch.cat([images, masks], 1)
    assert generator.detail is not None
    planes = generator.draw(seen) + 16 * generator.detail(seen)
    opacity, content = torch.sigmoid(planes[:, :1] - 2), torch.tanh(planes[:, 1:])
    assert planes.shape[1] == (2 if gray else 4)
    assert opacity.max() > 0.1
    laid = (1 - opacity) * images + opacity * content
    near = torch.zeros_like(masks)
    near[..., 20 - 8 : 31 + 8, 9 - 8 : 40 + 8] = 1
    assert torch.allclose(generator(images, masks), torch.where(near == 1, laid, images), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_blending_generator_leaves_what_is_out_of_reach_of_the_mask_as_it_is(kind: str) -> None:
    images = gray_images(1)
    assert torch.equal(moved(generator=kind)(images, torch.zeros(1, 1, 64, 64)), images)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_sees_the_mask(kind: str) -> None:
    images, generator = gray_images(1), moved(generator=kind)
    assert not torch.allclose(generator(images, square_masks(1)), generator(images, torch.zeros(1, 1, 64, 64)))


@pytest.mark.parametrize("blend", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_under_bfloat16_images_stay_float32_and_near_those_of_full_precision(kind: str, blend: bool) -> None:
    generator = moved(generator=kind, blend=blend)
    images, masks = gray_images(2), square_masks(2)
    full = generator(images, masks)
    with torch.autocast("cpu", torch.bfloat16):
        half = generator(images, masks)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().mean() < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_channels_last_changes_nothing(kind: str) -> None:
    generator, images, masks = moved(generator=kind), gray_images(2), square_masks(2)
    expected = generator(images, masks)
    generator.to(memory_format=torch.channels_last)
    last = images.to(memory_format=torch.channels_last), masks.to(memory_format=torch.channels_last)
    assert torch.allclose(generator(*last), expected, atol=1e-5)


# --- which views fit


def test_a_unet_takes_views_that_it_can_halve_down_to_2_px() -> None:
    check_view(ModelConfig(), 64)
    seven = ModelConfig(generator_widths=(8,) * 7)
    check_view(seven, 256)
    for size in (64, 128, 192):
        message = f"^train.model.generator_widths: 7 down steps do not fit a view of {size} px; name fewer widths$"
        with pytest.raises(UsageError, match=message):
            check_view(seven, size)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_resnet_takes_views_whose_side_is_a_multiple_of_4_px_whatever_the_unets_widths(kind: str) -> None:
    config = tiny(generator=kind, generator_widths=(8,) * 8)
    for size in (64, 100, 1024):
        check_view(config, size)
    message = f"^train.model.generator: {kind} needs a view whose side is a multiple of 4 px, got 66; "
    with pytest.raises(UsageError, match=message):
        check_view(config, 66)
