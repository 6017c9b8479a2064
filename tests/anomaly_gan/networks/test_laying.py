"""Generators that lay content over surroundings: what their first weights already do with a real texture."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.config import ModelConfig
from anomaly_gan.exemplars.assembling import lay_texture
from anomaly_gan.exemplars.exemplar import Exemplar, cut_exemplars, signed_depth
from anomaly_gan.networks.generator import Generator, build_generator
from anomaly_gan.networks.noise import draw_noise
from anomaly_gan.samples.sample import Sample, to_planes
from anomaly_gan.samples.tensors import to_model_range, to_uint8
from tests.support.builders import TINY_NETWORKS

pytestmark = pytest.mark.usefixtures("one_thread")

CLASS, SIZE = "pit", 128
Picture = NDArray[np.uint8]


def striped(seed: int) -> Picture:
    """Stripes of 6 px at an angle of each picture's own, as machined surfaces have them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    angle = rng.uniform(0, np.pi)
    wave = np.sin(2 * np.pi * (rows * np.sin(angle) + columns * np.cos(angle)) / 6 + rng.uniform(0, 6))
    levels: Picture = (140 + 18 * wave + rng.normal(0, 2, wave.shape)).clip(0, 255).astype(np.uint8)
    return levels


def rough(seed: int) -> Sample:
    """An anomaly that is dark and rough and hides the stripes."""
    rng, image, mask = np.random.default_rng(1000 + seed), striped(50 + seed), np.zeros((SIZE, SIZE), np.uint8)
    x, y, (wide, high) = *rng.integers(35, SIZE - 35, 2), rng.integers(10, 22, 2)
    cv2.ellipse(mask, (int(x), int(y)), (int(wide), int(high)), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    grain = cv2.GaussianBlur(rng.normal(0, 50, mask.shape), (0, 0), 0.8)
    image[mask == 1] = (80 + grain)[mask == 1].clip(0, 255).astype(np.uint8)
    return Sample(f"pit-{seed}", image, {CLASS: mask})


def wanted_mask(seed: int) -> Picture:
    """Of another shape than exemplars: a bent band."""
    rng, mask = np.random.default_rng(2000 + seed), np.zeros((SIZE, SIZE), np.uint8)
    points = rng.integers(25, SIZE - 25, (3, 2)).astype(np.int32)
    cv2.polylines(mask, [points], False, 1, 17)
    return mask


def first_weights(seed: int = 0, **changes: Any) -> Generator:
    torch.manual_seed(seed)
    model = TINY_NETWORKS | {"generator_widths": (16, 32, 32)} | changes
    return build_generator(ModelConfig.model_validate(model)).eval().requires_grad_(False)


def drawn(
    net: Generator, pictures: Sequence[Picture], masks: Sequence[Picture], exemplars: Sequence[Exemplar]
) -> list[Picture]:
    images = to_model_range(torch.from_numpy(np.stack([to_planes(picture) for picture in pictures])))
    where = torch.from_numpy(np.stack(masks)[:, None]).float()
    laid = [
        lay_texture(picture, mask, exemplars, (0, i)).planes
        for i, (picture, mask) in enumerate(zip(pictures, masks, strict=True))
    ]
    noise = torch.stack([draw_noise((1, i), net.noise_planes, SIZE) for i in range(len(masks))])
    made = to_uint8(net(images, where, noise, torch.from_numpy(np.stack(laid))))
    return [planes[0].numpy() for planes in made]


def texture(image: Picture, mask: Picture) -> float:
    """Standard deviation of the Laplacian inside the eroded mask."""
    core = cv2.erode(mask, np.ones((5, 5), np.uint8)) == 1
    return float(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F)[core].std())


def fine(image: Picture) -> NDArray[np.float32]:
    """What is left of a picture without its slow changes."""
    levels = image.astype(np.float32)
    return (levels - cv2.GaussianBlur(levels, (0, 0), 3)).astype(np.float32)


PITS = [rough(i) for i in range(6)]
NORMALS, MASKS = [striped(i) for i in range(6)], [wanted_mask(i) for i in range(6)]
EXEMPLARS = cut_exemplars(PITS, CLASS, SIZE)


@pytest.fixture(scope="module")
def untrained() -> list[Picture]:
    return drawn(first_weights(), NORMALS, MASKS, EXEMPLARS)


def test_before_anything_is_learnt_an_anomaly_is_as_rough_as_real_ones(untrained: list[Picture]) -> None:
    real = np.mean([texture(pit.image, pit.masks[CLASS]) for pit in PITS])
    made = np.mean([texture(image, mask) for image, mask in zip(untrained, MASKS, strict=True)])
    assert 0.8 <= made / real <= 1.25


def test_before_anything_is_learnt_an_anomaly_fills_its_mask(untrained: list[Picture]) -> None:
    """With a change of more than three grey levels, which noise alone does not make."""
    for image, normal, mask in zip(untrained, NORMALS, MASKS, strict=True):
        changed = np.abs(image.astype(int) - normal)[mask == 1]
        assert (changed > 3).mean() >= 0.95
        assert image[mask == 1].mean() == pytest.approx(80, abs=12)


def test_what_lay_behind_an_anomaly_does_not_shine_through(untrained: list[Picture]) -> None:
    found = []
    for image, normal, mask in zip(untrained, NORMALS, MASKS, strict=True):
        core = cv2.erode(mask, np.ones((5, 5), np.uint8)) == 1
        found.append(float(np.corrcoef(fine(image)[core], fine(normal)[core])[0, 1]))
    assert abs(np.mean(found)) <= 0.15 and max(map(abs, found)) <= 0.3


def test_what_lies_around_an_anomaly_stays(untrained: list[Picture]) -> None:
    for image, normal, mask in zip(untrained, NORMALS, MASKS, strict=True):
        beyond = cv2.dilate(mask, np.ones((17, 17), np.uint8)) == 0
        assert np.array_equal(image[beyond], normal[beyond])


def test_what_an_anomaly_shows_beside_its_outline_is_shown_beside_the_mask() -> None:
    """Outlines are drawn by hand, often a little within the anomaly."""
    tight = [
        replace(pit, masks={CLASS: cv2.erode(pit.masks[CLASS], np.ones((5, 5), np.uint8)).astype(np.uint8)})
        for pit in PITS
    ]
    made = drawn(first_weights(), NORMALS, MASKS, cut_exemplars(tight, CLASS, SIZE))
    darker = []
    for image, normal, mask in zip(made, NORMALS, MASKS, strict=True):
        depth = signed_depth(mask)
        change = normal.astype(float) - image
        darker.append([change[depth > 2].mean(), change[(depth < 0) & (depth >= -1)].mean()])
    inside, beside = np.mean(darker, 0)
    assert beside > 0.6 * inside


def test_masks_of_one_picture_get_anomalies_that_differ_from_each_other_and_from_the_exemplars() -> None:
    made = drawn(first_weights(), [NORMALS[0]] * 3, [MASKS[0]] * 3, EXEMPLARS)
    inside = MASKS[0] == 1
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(made[one].astype(int) - made[other])[inside].mean() > 10


# --- the form of what is laid in


def images_and_masks(planes: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    masks = torch.zeros(2, 1, 64, 64)
    masks[..., 20:40, 20:44] = 1
    images = (torch.rand(2, planes, 64, 64) - 0.5).expand(-1, 3, -1, -1).contiguous()
    return images, masks


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("planes", [1, 3])
def test_textures_of_one_and_of_three_planes_meet_generators_of_both(gray: bool, planes: int) -> None:
    net, (images, masks) = first_weights(gray=gray), images_and_masks(1 if gray else 3)
    texture = torch.full((2, planes, 64, 64), -0.4) * masks
    texture[:, -1] -= 0.1 * (planes == 3)
    made = net(images, masks, None, texture) - net(images, masks)
    darker = -made[:, :, 24:36, 24:40].mean((0, 2, 3))
    if gray:
        assert torch.equal(made[:, 0], made[:, 2])
        assert darker.tolist() == pytest.approx([0.4 + 0.1 / 3 * (planes == 3)] * 3, abs=0.06)
    else:
        assert darker.tolist() == pytest.approx([0.4, 0.4, 0.5 if planes == 3 else 0.4], abs=0.06)


def test_without_a_texture_the_surroundings_are_laid_in() -> None:
    """A mask on a mark that is no part of the surroundings makes it vanish, whatever it was."""
    net, (images, masks) = first_weights(content="filling"), images_and_masks()
    images[:] = 0.2
    marked = torch.where(masks == 1, -0.8, images)
    assert (net(marked, masks) - images)[:, :, 22:38, 22:42].abs().mean() < 0.12
    assert net.texture_planes == 0
    plain = first_weights(content="image", opacity_start=-2.0)
    assert (plain(marked, masks) - images)[:, :, 22:38, 22:42].abs().mean() > 0.5


@pytest.mark.parametrize("start", [-2.0, 0.0, 3.0])
def test_the_opacity_in_the_mask_begins_where_the_config_says_and_around_it_low(start: float) -> None:
    net, (images, masks) = first_weights(opacity_start=start, content="exemplar"), images_and_masks()
    images[:] = 0
    change = net(images, masks, None, torch.full((2, 1, 64, 64), 0.5))
    opacity = 1 / (1 + np.exp(-start))
    assert change[:, :, 24:36, 24:40].mean().item() == pytest.approx(0.5 * opacity, abs=0.05)
    ring = change[:, :, 14:18, 24:40].mean().item()
    assert ring == pytest.approx(0.5 * 0.12, abs=0.03)


def test_images_stay_in_range_whatever_is_laid_in() -> None:
    net, (images, masks) = first_weights(), images_and_masks()
    for level in (-2.0, 2.0):
        assert net(images, masks, None, torch.full((2, 1, 64, 64), level)).abs().max() <= 1
