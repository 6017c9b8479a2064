"""Cycle, outside and aware terms against their formulas in NumPy float64; `test_adversarial.py` has the others."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.gan import losses
from anomaly_gan.networks.base import grown

Array = NDArray[np.float64]
NORMS = ["l2", "l1", "gram", "channel_mean"]
SHAPES = ((4, 3, 4, 5), (4, 6, 2, 2))
"""Of the two taps: [N, D, H, W]."""


def tensor(values: Array, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def features(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in SHAPES]


def semantic(fake: list[Array], real: list[Array], weight: list[float], norm: str) -> float:
    taps = [tensor(tap) for tap in fake], [tensor(tap) for tap in real]
    return losses.loss_semantic(*taps, torch.tensor(weight), norm).item()


def images(seed: int, count: int = 4) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 4, 5))


def masks() -> Array:
    """Of the first 1, 3, 19 and all 20 pixels."""
    flat = np.zeros((4, 20))
    for i, covered in enumerate((1, 3, 19, 20)):
        flat[i, :covered] = 1
    return flat.reshape(4, 1, 4, 5)


def reaches() -> Array:
    """Of the first 5, 4, 19 and all 20 pixels; the third image's is its mask."""
    flat = np.zeros((4, 20))
    for i, covered in enumerate((5, 4, 19, 20)):
        flat[i, :covered] = 1
    return flat.reshape(4, 1, 4, 5)


# the formulas


def cycle_formula(cycled: Array, image: Array, mask: Array, reach: Array, inside: float) -> float:
    per_image = []
    for c, i, m, r in zip(cycled, image, mask, reach, strict=True):
        places = [(channel, y, x) for channel, y, x in np.ndindex(c.shape) if r[0, y, x] == 1]
        changes = [abs(c[at] - i[at]) * (inside if m[0, *at[1:]] == 1 else 1) for at in places]
        per_image.append(sum(changes) / max(len(changes), 1))
    return float(np.mean(per_image))


def outside_formula(fake: Array, image: Array, mask: Array, reach: Array) -> float:
    per_image = []
    for f, i, m, r in zip(fake, image, mask, reach, strict=True):
        places = [(c, y, x) for c, y, x in np.ndindex(f.shape) if m[0, y, x] == 0 and r[0, y, x] == 1]
        per_image.append(sum(abs(f[at] - i[at]) for at in places) / max(len(places), 1))
    return float(np.mean(per_image))


def gram_matrix(tap: Array) -> Array:
    products: Array = np.array([[(a * b).sum() for b in tap] for a in tap])
    return products / tap.size


def tap_distance(fake: Array, real: Array, norm: str) -> float:
    """Of one pair, [D, H, W]."""
    depth, height, width = fake.shape
    if norm == "l2":
        distance = ((fake - real) ** 2).sum() / (depth * height * width)
    elif norm == "l1":
        distance = np.abs(fake - real).sum() / (depth * height * width)
    elif norm == "gram":
        distance = ((gram_matrix(fake) - gram_matrix(real)) ** 2).sum()
    else:
        means = [(f.sum() - r.sum()) / (height * width) for f, r in zip(fake, real, strict=True)]
        distance = np.square(means).sum() / depth
    return float(distance)


def semantic_formula(fake: list[Array], real: list[Array], weight: list[float], norm: str) -> float:
    total = 0.0
    for fake_tap, real_tap in zip(fake, real, strict=True):
        for i, w in enumerate(weight):
            total += w * tap_distance(fake_tap[i], real_tap[i], norm)
    return total / len(weight)


def pixels_formula(fake: Array, real: Array, weight: list[float]) -> float:
    return sum(w * float(((f - r) ** 2).mean()) for f, r, w in zip(fake, real, weight, strict=True)) / len(weight)


# cycle


def test_cycle_is_the_mean_absolute_difference_over_all_pixels_where_all_can_change() -> None:
    image = torch.tensor([[[[0.0, 1.0]]], [[[-1.0, 0.5]]]])
    cycled = torch.tensor([[[[0.5, 1.0]]], [[[1.0, 0.0]]]])
    mask = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    everywhere = torch.ones_like(mask)
    assert losses.loss_cycle(cycled, image, mask, everywhere, 1.0).item() == pytest.approx((0.5 + 0 + 2 + 0.5) / 4)


def test_cycle_is_a_mean_over_the_pixels_that_can_change() -> None:
    image, mask = torch.zeros(1, 1, 1, 4), torch.tensor([[[[1.0, 0.0, 0.0, 0.0]]]])
    cycled, reach = torch.tensor([[[[0.5, 0.25, 0.0, 9.0]]]]), torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]])
    assert losses.loss_cycle(cycled, image, mask, reach, 1.0).item() == pytest.approx((0.5 + 0.25) / 3)


@pytest.mark.parametrize("inside", [0.0, 0.1])
def test_cycle_weighs_the_pixels_of_the_mask_less_where_it_is_told_to(inside: float) -> None:
    image, mask = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    cycled = torch.tensor([[[[0.5, 0.25]]]])
    found = losses.loss_cycle(cycled, image, mask, torch.ones_like(mask), inside).item()
    assert found == pytest.approx((0.5 * inside + 0.25) / 2)


def test_cycle_is_its_formula() -> None:
    found = losses.loss_cycle(tensor(images(0)), tensor(images(1)), tensor(masks()), tensor(reaches()), 0.3).item()
    assert found == pytest.approx(cycle_formula(images(0), images(1), masks(), reaches(), 0.3), rel=1e-5)


# outside


def test_outside_counts_the_change_of_unmasked_pixels_only_and_averages_over_them() -> None:
    image = torch.zeros(1, 3, 2, 2)
    fake = torch.full((1, 3, 2, 2), 0.25)
    fake[..., 0, 0] = 9
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    assert losses.loss_outside(fake, image, mask, torch.ones_like(mask)).item() == pytest.approx(0.25)


def test_outside_averages_over_those_that_can_change() -> None:
    image, mask, reach = torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    mask[..., 0, 0], reach[..., 1, 1] = 1, 0
    fake = torch.zeros(1, 3, 2, 2)
    fake[..., 0, 1] = 0.5
    assert losses.loss_outside(fake, image, mask, reach).item() == pytest.approx(0.25)


def test_outside_averages_over_images_and_not_over_all_their_unmasked_pixels() -> None:
    image, mask = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    mask[0, 0, 0] = 1
    mask[0, 0, 1, 0] = 1  # leaves 1 pixel, and all 4 of the other image
    fake = torch.stack([torch.full((3, 2, 2), 0.8), torch.full((3, 2, 2), -0.2)])
    found = losses.loss_outside(fake, image, mask, torch.ones_like(mask)).item()
    assert found == pytest.approx((0.8 + 0.2) / 2)


def test_outside_is_its_formula() -> None:
    found = losses.loss_outside(tensor(images(0)), tensor(images(1)), tensor(masks()), tensor(reaches())).item()
    assert found == pytest.approx(outside_formula(images(0), images(1), masks(), reaches()), rel=1e-5)


def test_outside_a_full_mask_is_nothing() -> None:
    fake, full = torch.ones(2, 3, 4, 4, requires_grad=True), torch.ones(2, 1, 4, 4)
    term = losses.loss_outside(fake, torch.zeros(2, 3, 4, 4), full, full)
    term.backward()  # type: ignore[no-untyped-call]
    assert term == 0
    assert fake.grad is not None and (fake.grad == 0).all()


@pytest.mark.parametrize("inside", [0.1, 1.0])
def test_the_same_error_weighs_the_same_in_a_view_of_any_size(inside: float) -> None:
    """So a weight means the same at 64 px as at 256."""
    found = []
    for size in (64, 128, 256):
        image, mask, error = torch.zeros(1, 3, size, size), torch.zeros(1, 1, size, size), torch.zeros(1, 1, size, size)
        mask[..., 20:40, 16:44] = 1
        reach = grown(mask, 8)
        error[..., 14:46, 10:50] = 0.1  # in the mask and 6 px around
        cycle = losses.loss_cycle(image + error, image, mask, reach, inside).item()
        found.append((cycle, losses.loss_outside(image + error, image, mask, reach).item()))
    assert all(one == pytest.approx(found[0], rel=1e-4) for one in found)
    assert found[0][0] > 0.03 and found[0][1] > 0.05


# aware


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.5, 0.0]])
def test_semantic_is_its_formula_summed_over_the_taps(norm: str, weight: list[float]) -> None:
    wanted = semantic_formula(features(0), features(1), weight, norm)
    assert semantic(features(0), features(1), weight, norm) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("norm", "wanted"),
    [
        ("l2", (1 + 4 + 4 + 9) / 4),
        ("l1", (1 + 2 + 2 + 3) / 4),
        ("gram", (25 + 36 + 36 + 25) / 16),  # of [[5, 6], [6, 9]] / 4 and [[0, 0], [0, 4]] / 4
        ("channel_mean", (1.5**2 + 0.5**2) / 2),
    ],
)
def test_semantic_of_one_pair_by_hand(norm: str, wanted: float) -> None:
    fake = np.array([[[[1.0, 2.0]], [[0.0, 3.0]]]])
    real = np.array([[[[0.0, 0.0]], [[2.0, 0.0]]]])
    assert semantic([fake], [real], [1], norm) == pytest.approx(wanted)


def test_pixels_of_two_pairs_by_hand() -> None:
    fake = torch.tensor([[[[1.0, -1.0]]], [[[0.5, 0.0]]]])
    real = torch.tensor([[[[0.0, 1.0]]], [[[0.0, 0.0]]]])
    assert losses.loss_pixels(fake, real, torch.tensor([1.0, 1.0])).item() == pytest.approx((5 / 2 + 0.25 / 2) / 2)
    assert losses.loss_pixels(fake, real, torch.tensor([0.0, 1.0])).item() == pytest.approx((0.25 / 2) / 2)


@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.5, 0.0]])
def test_pixels_is_its_formula(weight: list[float]) -> None:
    found = losses.loss_pixels(tensor(images(0)), tensor(images(1)), torch.tensor(weight)).item()
    assert found == pytest.approx(pixels_formula(images(0), images(1), weight), rel=1e-5)


@pytest.mark.parametrize("name", [*NORMS, "pixels"])
def test_a_pair_of_weight_0_adds_nothing_to_term_and_gradient(name: str) -> None:
    def taken(content: Array, weight: list[float]) -> tuple[float, Tensor]:
        fake, real = tensor(content).requires_grad_(), tensor(images(1))
        weights = torch.tensor(weight)
        if name == "pixels":
            term = losses.loss_pixels(fake, real, weights)
        else:
            term = losses.loss_semantic([fake], [real], weights, name)
        (gradient,) = torch.autograd.grad(term, fake)
        return term.item(), gradient

    changed = images(0)
    changed[1] *= 50
    term, gradient = taken(changed, [1, 0, 1, 1])
    assert term == pytest.approx(taken(images(0), [1, 0, 1, 1])[0])
    assert (gradient[1] == 0).all() and (gradient[[0, 2, 3]] != 0).any((1, 2, 3)).all()
    term, gradient = taken(changed, [0, 0, 0, 0])
    assert term == 0 and (gradient == 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), norm=st.sampled_from(NORMS))
def test_a_distance_is_the_same_both_ways_and_0_of_equal_features(seed: int, norm: str) -> None:
    one, other, weight = features(seed), features(seed + 1), [1.0, 1.0, 1.0, 1.0]
    assert semantic(one, other, weight, norm) == semantic(other, one, weight, norm) > 0
    assert semantic(one, one, weight, norm) == 0


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(20)).filter(lambda order: order != sorted(order)))
def test_gram_and_channel_mean_do_not_see_where_a_feature_is_and_the_others_do(order: list[int]) -> None:
    tap = features(0)[0]
    moved = tap.reshape(4, 3, 20)[:, :, order].reshape(tap.shape)
    seen = {norm: semantic([moved], [tap], [1.0, 1.0, 1.0, 1.0], norm) for norm in NORMS}
    assert seen["gram"] == pytest.approx(0, abs=1e-10) and seen["channel_mean"] == pytest.approx(0, abs=1e-10)
    assert seen["l2"] > 1e-4 and seen["l1"] > 1e-4


# aware: energy


def style(tap: Array) -> Array:
    """[N, D, H, W] to [N, 2 D]: means and deviations of the channels."""
    flat = tap.reshape(*tap.shape[:2], -1)
    numbers = np.concatenate([flat.mean(2), np.sqrt(flat.var(2, ddof=1) + 1e-6)], 1)
    return np.asarray(numbers / np.sqrt(2 * tap.shape[1]))


def energy_formula(fake: list[Array], real: list[Array], weight: list[float]) -> float:
    generated, wanted = (np.concatenate([style(tap) for tap in taps], 1) for taps in (fake, real))
    count = len(weight)
    apart = sum(weight[i] * np.sqrt(np.square(generated[i] - wanted[i]).sum() + 1e-8) for i in range(count))
    pairs = [(i, i - count // 2) for i in range(count)]
    own = sum(weight[i] * weight[j] * np.sqrt(np.square(generated[i] - generated[j]).sum() + 1e-8) for i, j in pairs)
    return float((apart - own / 2) / count)


@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]])
def test_energy_is_its_formula(weight: list[float]) -> None:
    wanted = energy_formula(features(0), features(1), weight)
    assert semantic(features(0), features(1), weight, "energy") == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_energy_of_one_pair_is_their_distance() -> None:
    fake, real = ([tap[:1] for tap in features(seed)] for seed in (0, 1))
    difference = np.concatenate([style(a) - style(b) for a, b in zip(fake, real, strict=True)], 1)
    found = semantic(fake, real, [1.0], "energy")
    assert found == pytest.approx(float(np.sqrt(np.square(difference).sum())), rel=1e-4)


def crops(levels: Array, seed: int) -> list[Array]:
    """Two channels of crops that have these levels, and noise."""
    noise = np.random.default_rng(seed).normal(0, 0.1, (len(levels), 2, 6, 6))
    return [levels[:, None, None, None] * np.array([1.0, -1.0])[:, None, None] + noise]


def test_energy_is_least_where_the_real_ones_are_met_and_other_norms_where_their_mean_is() -> None:
    """Real anomalies are dark or pale, half of each; generated ones are so too, or all of them in the middle."""
    rng, count = np.random.default_rng(0), 400
    real = crops(rng.choice([-1.0, 1.0], count), 1)
    generated = {"right": rng.choice([-1.0, 1.0], count), "mean": np.zeros(count), "one": np.ones(count)}
    found = {
        norm: {name: semantic(crops(levels, 2), real, [1.0] * count, norm) for name, levels in generated.items()}
        for norm in ("energy", "channel_mean")
    }
    assert found["energy"]["right"] < 0.7 * found["energy"]["mean"]
    assert found["energy"]["right"] < 0.7 * found["energy"]["one"]
    assert found["channel_mean"]["mean"] < 0.7 * found["channel_mean"]["right"]


def test_of_several_crops_of_an_image_none_is_the_others_partner() -> None:
    """Of three images the two crops are alike: as far from other images' as one crop of each would be."""
    single = crops(np.array([-1.0, 0.0, 2.0]), 0)[0]
    real = crops(np.array([0.5, 0.5, 0.5]), 1)[0]
    alone = semantic([single], [real], [1.0] * 3, "energy")
    both = semantic([single.repeat(2, 0)], [real.repeat(2, 0)], [1.0] * 6, "energy")
    assert both == pytest.approx(alone, rel=1e-4)


def test_energy_does_not_see_where_a_feature_is_and_sees_how_it_varies() -> None:
    tap = features(0)[0]
    moved = tap.reshape(4, 3, 20)[:, :, np.random.default_rng(0).permutation(20)].reshape(tap.shape)
    weight = [1.0] * 4
    same = semantic([tap], [tap], weight, "energy")
    assert semantic([moved], [tap], weight, "energy") == pytest.approx(same, abs=1e-6)
    flat = np.broadcast_to(tap.mean((2, 3), keepdims=True), tap.shape).copy()
    assert semantic([flat], [tap], weight, "energy") > same + 0.1


@pytest.mark.parametrize("count", [1, 4])
def test_a_pair_of_weight_0_adds_nothing_to_the_energy_and_equal_crops_have_finite_gradients(count: int) -> None:
    fake = tensor(images(0, count)).requires_grad_()
    weight = torch.tensor([1.0, 0.0, 1.0, 1.0][:count])
    term = losses.loss_semantic([fake], [fake.detach().clone()], weight, "energy")
    (gradient,) = torch.autograd.grad(term, fake)
    assert torch.isfinite(gradient).all()
    changed = fake.detach().clone()
    if count > 1:
        assert (gradient[1] == 0).all()
        changed[1] *= 50
    other = losses.loss_semantic([changed], [fake.detach().clone()], weight, "energy")
    assert other.item() == pytest.approx(term.item(), abs=1e-6)
    nothing = losses.loss_semantic([fake], [tensor(images(1, count))], torch.zeros(count), "energy")
    assert nothing == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_energy_is_an_fp32_scalar_whatever_it_is_of(dtype: torch.dtype) -> None:
    coarse, real = tensor(images(0), dtype), tensor(images(1))
    found = losses.loss_semantic([coarse], [real], torch.ones(4), "energy")
    assert found.dtype == torch.float32 and found.shape == ()
    assert found == losses.loss_semantic([coarse.float()], [real], torch.ones(4), "energy")


def test_gram_is_in_fp32_under_autocast() -> None:
    fake, real = ([tensor(tap) for tap in features(seed)] for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        found = losses.loss_semantic(fake, real, torch.ones(4), "gram")
    assert found == losses.loss_semantic(fake, real, torch.ones(4), "gram")


# all of them, as functions of the generated images or features

WEIGHT = [1.0, 0.0, 0.5, 1.0]
REFERENCE = images(1)
TERMS: dict[str, tuple[Callable[[Tensor, slice], Tensor], Callable[[Array], float]]] = {
    "cycle": (
        lambda x, share: losses.loss_cycle(
            x, tensor(REFERENCE[share]), tensor(masks()[share]), tensor(reaches()[share]), 0.3
        ),
        lambda x: cycle_formula(x, REFERENCE, masks(), reaches(), 0.3),
    ),
    "outside": (
        lambda x, share: losses.loss_outside(
            x, tensor(REFERENCE[share]), tensor(masks()[share]), tensor(reaches()[share])
        ),
        lambda x: outside_formula(x, REFERENCE, masks(), reaches()),
    ),
    "pixels": (
        lambda x, share: losses.loss_pixels(x, tensor(REFERENCE[share]), torch.tensor(WEIGHT[share])),
        lambda x: pixels_formula(x, REFERENCE, WEIGHT),
    ),
}


def semantic_term(norm: str) -> tuple[Callable[[Tensor, slice], Tensor], Callable[[Array], float]]:
    return (
        lambda x, share: losses.loss_semantic([x], [tensor(REFERENCE[share])], torch.tensor(WEIGHT[share]), norm),
        lambda x: semantic_formula([x], [REFERENCE], WEIGHT, norm),
    )


TERMS.update({norm: semantic_term(norm) for norm in NORMS})
WHOLE = slice(None)


@pytest.mark.parametrize("name", TERMS)
def test_a_gradient_is_the_slope_of_the_formula(name: str) -> None:
    term, formula = TERMS[name]
    point, step = images(0), 1e-5
    fake = tensor(point).requires_grad_()
    (gradient,) = torch.autograd.grad(term(fake, WHOLE), fake)
    for i in np.ndindex(point.shape):
        if i[2:] in {(0, 0), (0, 1), (0, 3), (3, 4)}:  # masked in 4, 3, 2 and 1 of the images
            nudge = np.zeros_like(point)
            nudge[i] = step
            slope = (formula(point + nudge) - formula(point - nudge)) / (2 * step)
            assert gradient[i].item() == pytest.approx(slope, rel=1e-3, abs=1e-7), i


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_term_is_an_fp32_scalar_whatever_it_is_of(name: str, dtype: torch.dtype) -> None:
    term, _ = TERMS[name]
    coarse = tensor(images(0), dtype)
    found = term(coarse, WHOLE)
    assert found.dtype == torch.float32
    assert found.shape == ()
    assert found == term(coarse.float(), WHOLE)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("shares", [2, 4])
def test_the_shares_of_a_batch_average_to_the_whole(name: str, shares: int) -> None:
    term, _ = TERMS[name]
    parts = [slice(i, None, shares) for i in range(shares)]
    found = [term(tensor(images(0)[part]), part).item() for part in parts]
    assert np.mean(found) == pytest.approx(term(tensor(images(0)), WHOLE).item(), rel=1e-5)
