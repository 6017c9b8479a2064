"""Planes of noise as a function of a seed, and what a generator makes of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from anomaly_gan.networks.generator import Generator
from anomaly_gan.networks.noise import draw_noise
from tests.support.builders import CPU, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")

REACH_PX = 8
KINDS = ("unet", "resunet", "resnet9", "plain_resnet9")


def generator(**changes: Any) -> Generator:
    return tiny_generator(**({"resnet_width": 4, "noise_planes": 4} | changes))


def given(count: int = 2) -> tuple[Tensor, Tensor]:
    """Images, and masks of a box."""
    torch.manual_seed(5)
    masks = torch.zeros(count, 1, 64, 64)
    masks[..., 20:31, 9:40] = 1
    return (torch.rand(count, 1, 64, 64) * 2 - 1).expand(-1, 3, -1, -1).contiguous(), masks


def noise(*seeds: int) -> Tensor:
    return torch.stack([draw_noise([seed], 4, 64) for seed in seeds])


# --- the numbers


def test_the_first_plane_has_a_number_for_each_pixel_and_the_others_one_each() -> None:
    drawn = draw_noise([0, 1], 4, 64)
    assert drawn.shape == (4, 64, 64) and drawn.dtype == torch.float32
    assert drawn[0].mean().abs() < 0.05 and drawn[0].std() == pytest.approx(1, abs=0.03)
    assert len(set(drawn[0].flatten().tolist())) > 4000
    assert all((plane == plane[0, 0]).all() for plane in drawn[1:])
    whole = torch.stack([draw_noise([seed], 3, 8)[1:, 0, 0] for seed in range(200)])
    assert whole.mean().abs() < 0.15 and whole.std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("planes", [0, 1, 2])
def test_as_many_planes_are_drawn_as_are_asked_for(planes: int) -> None:
    assert draw_noise([3], planes, 16).shape == (planes, 16, 16)


def test_noise_is_a_function_of_its_seed_whoever_draws_it() -> None:
    wanted = draw_noise((7, 2, 9), 4, 32)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert torch.equal(draw_noise([7, 2, 9], 4, 32, CPU), wanted)
    assert torch.equal(torch.get_rng_state(), before), "nobody else's chance is touched"


def test_seeds_that_differ_in_any_number_or_in_order_give_other_noise() -> None:
    """Seeds of one length: NumPy takes zeros at the end for nothing."""
    seeds = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 2, 3), (3, 2, 1), (2**40, 0, 0)]
    drawn = [draw_noise(seed, 2, 16) for seed in seeds]
    assert len({plane[0].numpy().tobytes() for plane in drawn}) == len(seeds)
    assert len({plane[1, 0, 0].item() for plane in drawn}) == len(seeds)


# --- what generators make of it


@pytest.mark.parametrize("content", ["exemplar", "filling", "image"])
@pytest.mark.parametrize("kind", KINDS)
def test_two_noises_give_two_images_where_the_mask_is_and_one_noise_one(kind: str, content: str) -> None:
    net, (images, masks) = generator(generator=kind, content=content), given()
    one, same, other = (net(images, masks, noise(*seeds)) for seeds in ((0, 1), (0, 1), (2, 3)))
    assert torch.equal(one, same)
    inside = masks.expand_as(one) == 1
    assert (one - other)[inside].abs().mean() > 1e-3
    near = torch.zeros_like(masks)
    near[..., 20 - REACH_PX : 31 + REACH_PX, 9 - REACH_PX : 40 + REACH_PX] = 1
    beyond = near.expand_as(one) == 0
    assert torch.equal(one[beyond], images[beyond]) and torch.equal(other[beyond], images[beyond])


def test_each_plane_of_noise_changes_the_image() -> None:
    net, (images, masks) = generator(), given(1)
    plain = net(images, masks, noise(0))
    for plane in range(4):
        changed = noise(0)
        changed[:, plane] += 1
        assert not torch.allclose(net(images, masks, changed), plain), plane


def test_noise_far_from_the_mask_is_not_seen() -> None:
    """So an anomaly does not depend on noise for the rest of the view."""
    net, (images, masks) = generator(), given(1)
    far, near = noise(0), torch.zeros_like(masks)
    near[..., 20 - REACH_PX : 31 + REACH_PX, 9 - REACH_PX : 40 + REACH_PX] = 1
    assert torch.equal(net(images, masks, far), net(images, masks, torch.where(near == 1, far, 5.0)))


def test_an_image_is_drawn_alike_whatever_noise_the_others_of_its_batch_have() -> None:
    net, (images, masks) = generator(), given(3)
    together = net(images, masks, noise(4, 5, 6))
    assert torch.allclose(net(images[1:2], masks[1:2], noise(5))[0], together[1], atol=1e-5)
    assert torch.allclose(net(images, masks, noise(8, 5, 9))[1], together[1], atol=1e-6)


def test_no_noise_is_the_middle_of_what_can_be_drawn() -> None:
    net, (images, masks) = generator(), given(1)
    assert torch.equal(net(images, masks), net(images, masks, torch.zeros(1, 4, 64, 64)))


def test_a_generator_without_planes_of_noise_takes_none_and_draws_one_image() -> None:
    net, (images, masks) = generator(noise_planes=0, content="image"), given(1)
    assert net.texture is None and net.detail is not None
    assert torch.equal(net(images, masks, torch.zeros(1, 0, 64, 64)), net(images, masks))


@pytest.mark.parametrize("kind", KINDS)
def test_texture_is_drawn_from_features_mask_and_noise_and_never_from_the_picture_behind(kind: str) -> None:
    """Which is no input of it; each of the others changes what it draws."""
    net, (images, masks) = generator(generator=kind), given(1)
    assert net.detail is None and net.texture is not None
    taken: list[tuple[Tensor, ...]] = []
    net.texture.register_forward_pre_hook(lambda _, args: taken.append(args))
    planes: list[Tensor] = []
    net.texture.register_forward_hook(lambda _, __, out: planes.append(out))
    net(images, masks, noise(0))
    [(features, mask, seen_noise)] = taken
    assert torch.equal(mask, masks) and seen_noise.shape[1] == 4
    assert torch.equal(net.texture(features, mask, seen_noise), planes[0])
    assert net.texture.mix.in_channels == features.shape[1] + 1 + 4
    for other in ((features + 1, mask, seen_noise), (features, 1 - mask, seen_noise), (features, mask, noise(1))):
        assert not torch.allclose(net.texture(*other), planes[0])


def test_a_larger_noise_plane_gives_texture_as_fine_as_pixels() -> None:
    """The generated differences between two noises change sign from one pixel to the next: no low pass lies between."""
    net, (images, masks) = generator(upsample="transposed"), given(1)
    inside = masks[0, 0] == 1
    difference = (net(images, masks, noise(0)) - net(images, masks, noise(1)))[0, 0]
    across = (difference[:, 1:] - difference[:, :-1])[inside[:, 1:] & inside[:, :-1]]
    assert across.std() > 0.5 * difference[inside].std()
