"""Changes of what the discriminators see: alike for image and mask, differentiable, and decided by the position."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from anomaly_gan.config import AugmentConfig
from anomaly_gan.training.augmentation import augment

SEED = (0, 1)
GEOMETRY = {"max_brightness": 0, "max_contrast": 0}
LIGHT = {"max_shift": 0}


def config(probability: float = 1.0, **changes: Any) -> AugmentConfig:
    return AugmentConfig.model_validate({"probability": probability} | changes)


def scenes(count: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """`count` times the same numbered parts without any symmetry, and an image that is their picture."""
    parts = torch.zeros(size, size, dtype=torch.uint8)
    parts[2:5, 3:9] = 1
    parts[9:11, 5:7] = 2
    parts[13, 11] = 3
    mask = parts.expand(count, 1, size, size).clone()
    return mask.float().expand(-1, 3, -1, -1) / 3 - 0.5, mask


def picture_of(parts: Tensor) -> Tensor:
    return parts.float().expand(-1, 3, -1, -1) / 3 - 0.5


def test_a_probability_of_0_gives_back_what_went_in() -> None:
    image, parts = scenes(2)
    changed = augment(image, parts, (0, 1), config(0.0), SEED)
    assert changed[0] is image and changed[1] is parts


def test_every_change_is_made_by_its_probability() -> None:
    image, parts = scenes(400)
    changed, _ = augment(image, parts, range(400), config(0.25), SEED)
    untouched = changed.isclose(image, atol=1e-5).flatten(1).all(1).float().mean().item()
    assert untouched == pytest.approx(0.75**6, abs=0.06)


def test_image_and_mask_move_together() -> None:
    image, parts = scenes(64)
    moved, mask = augment(image, parts, range(64), config(**GEOMETRY), SEED)
    assert torch.allclose(moved, picture_of(mask))
    assert mask.dtype == torch.uint8
    assert len({one.numpy().tobytes() for one in mask}) > 20


def test_brightness_and_contrast_change_the_image_evenly_and_leave_the_mask() -> None:
    image, parts = scenes(64)
    changed, mask = augment(image, parts, range(64), config(), SEED)
    outside, inside = (
        torch.stack([one[0][part[0] == n].mean() for one, part in zip(changed, mask, strict=True)]) for n in (0, 1)
    )
    slope = 3 * (inside - outside)
    even = outside.view(-1, 1, 1, 1) + slope.view(-1, 1, 1, 1) * mask.float() / 3
    assert torch.allclose(changed, even.expand_as(changed), atol=1e-5)
    assert slope.min() < 0.8 and slope.max() > 1.2
    assert set(mask.flatten().tolist()) == {0, 1, 2, 3}


def test_parts_keep_their_numbers_and_without_a_shift_their_areas() -> None:
    image, parts = scenes(32)
    _, mask = augment(image, parts, range(32), config(max_shift=0), SEED)
    assert all(torch.equal(one.flatten().bincount(), parts[0].flatten().bincount()) for one in mask)


def test_all_eight_ways_of_turning_and_mirroring_occur_alike() -> None:
    image, parts = scenes(800)
    _, mask = augment(image, parts, range(800), config(0.5, max_shift=0), SEED)
    counts = Counter(one.numpy().tobytes() for one in mask)
    plain = parts[:1]
    ways = {
        turned.contiguous().numpy().tobytes()
        for mirrored in (plain, plain.flip(3))
        for turned in (torch.rot90(mirrored, quarter, (2, 3)) for quarter in range(4))
    }
    assert set(counts) == ways and len(ways) == 8
    assert all(70 < count < 130 for count in counts.values())


def test_shifts_reach_but_never_exceed_the_largest_one() -> None:
    dot = torch.zeros(400, 1, 17, 17, dtype=torch.uint8)
    dot[:, :, 8, 8] = 1
    _, moved = augment(picture_of(dot), dot, range(400), config(max_shift=0.2, **GEOMETRY), SEED)
    _, _, rows, columns = moved.nonzero(as_tuple=True)
    assert len(rows) == 400
    for found in (rows - 8, columns - 8):
        assert set(found.tolist()) == {-3, -2, -1, 0, 1, 2, 3}
    assert (rows != columns).float().mean() > 0.5


def test_what_a_shift_uncovers_is_the_mirrored_border() -> None:
    ramp = torch.arange(16.0).div(16).view(1, 1, 16, 1).expand(50, 3, 16, 16)
    parts = torch.zeros(50, 1, 16, 16, dtype=torch.uint8)
    moved, _ = augment(ramp, parts, range(50), config(max_shift=0.5, **GEOMETRY), SEED)
    steps = (moved.diff(dim=2) + moved.diff(dim=3).mT).abs()
    assert torch.allclose(steps, torch.full_like(steps, 1 / 16))


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_brightness_stays_within_its_bound_on_both_sides(probability: float) -> None:
    flat = torch.full((300, 3, 4, 4), 0.25)
    parts = torch.zeros(300, 1, 4, 4, dtype=torch.uint8)
    changed, _ = augment(flat, parts, range(300), config(probability, max_brightness=0.4), SEED)
    offsets = (changed - flat)[:, 0, 0, 0]
    assert torch.allclose(changed - flat, offsets.view(-1, 1, 1, 1).expand_as(flat), atol=1e-6)
    assert -0.4 <= offsets.min() < -0.35 and 0.35 < offsets.max() <= 0.4
    assert (offsets.abs() > 1e-6).float().mean() == pytest.approx(probability, abs=0.1)


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_contrast_stays_within_its_bound_and_keeps_the_mean(probability: float) -> None:
    image, parts = scenes(300)
    changed, _ = augment(image, parts, range(300), config(probability, max_shift=0, max_brightness=0), SEED)
    factors = changed.flatten(1).std(1) / image.flatten(1).std(1)
    assert 0.7 <= factors.min() < 0.75 and 1.25 < factors.max() <= 1.3
    assert (factors - 1).abs().gt(1e-5).float().mean() == pytest.approx(probability, abs=0.1)
    assert torch.allclose(changed.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=1e-6)


def test_an_images_change_depends_on_seed_and_position_and_not_on_its_neighbours() -> None:
    image, parts = scenes(3)
    together = augment(image, parts, (7, 40, 8), config(0.5), SEED)
    alone = augment(image[:1], parts[:1], (40,), config(0.5), SEED)
    assert torch.equal(together[0][1], alone[0][0]) and torch.equal(together[1][1], alone[1][0])


def test_positions_seeds_and_purposes_give_differing_changes() -> None:
    image, parts = scenes(1)
    wanted = config()
    changed = [
        augment(image, parts, (position,), wanted, (seed, purpose))[0]
        for position in (0, 1)
        for seed in (0, 1)
        for purpose in (0, 1, 2)
    ]
    assert len({one.numpy().tobytes() for one in changed}) == 12


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    image = torch.rand(6, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    parts = torch.zeros(6, 1, 5, 5, dtype=torch.uint8)
    wanted = config(0.7, max_shift=0.4)
    assert torch.autograd.gradcheck(
        lambda values: augment(values, parts, range(6), wanted, SEED)[0], image, fast_mode=True
    )


def test_a_mirrored_and_shifted_image_hands_its_gradient_to_the_pixels_that_it_shows() -> None:
    image, parts = scenes(20)
    image.requires_grad_()
    moved, mask = augment(image, parts, range(20), config(**GEOMETRY), SEED)
    (moved * (mask == 1)).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert (image.grad[:, :1][parts != 1] == 0).all()
    assert torch.equal(image.grad[:, 0].sum((1, 2)), (mask == 1).sum((1, 2, 3)).float())
