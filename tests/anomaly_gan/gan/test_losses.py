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


# the formulas


def cycle_formula(cycled: Array, image: Array, mask: Array, inside: float) -> float:
    distance = np.abs(cycled - image)
    inner = distance * mask
    return float((distance - inner + inside * inner).sum() / distance.size)


def outside_formula(fake: Array, image: Array, mask: Array) -> float:
    per_image = []
    for f, i, m in zip(fake, image, mask, strict=True):
        changes = [abs(f[c, y, x] - i[c, y, x]) for c, y, x in np.ndindex(f.shape) if m[0, y, x] == 0]
        per_image.append(sum(changes) / max(len(changes), 1))
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


def test_cycle_is_the_mean_absolute_difference_over_all_pixels() -> None:
    image = torch.tensor([[[[0.0, 1.0]]], [[[-1.0, 0.5]]]])
    cycled = torch.tensor([[[[0.5, 1.0]]], [[[1.0, 0.0]]]])
    mask = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    assert losses.loss_cycle(cycled, image, mask, 1.0).item() == pytest.approx((0.5 + 0 + 2 + 0.5) / 4)


@pytest.mark.parametrize("inside", [0.0, 0.1])
def test_cycle_weighs_the_pixels_of_the_mask_less_where_it_is_told_to(inside: float) -> None:
    image, mask = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    cycled = torch.tensor([[[[0.5, 0.25]]]])
    assert losses.loss_cycle(cycled, image, mask, inside).item() == pytest.approx((0.5 * inside + 0.25) / 2)


def test_cycle_is_its_formula() -> None:
    found = losses.loss_cycle(tensor(images(0)), tensor(images(1)), tensor(masks()), 0.3).item()
    assert found == pytest.approx(cycle_formula(images(0), images(1), masks(), 0.3), rel=1e-5)


# outside


def test_outside_counts_the_change_of_unmasked_pixels_only_and_averages_over_them() -> None:
    image = torch.zeros(1, 3, 2, 2)
    fake = torch.full((1, 3, 2, 2), 0.25)
    fake[..., 0, 0] = 9
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    assert losses.loss_outside(fake, image, mask).item() == pytest.approx(0.25)


def test_outside_averages_over_images_and_not_over_all_their_unmasked_pixels() -> None:
    image, mask = torch.zeros(2, 3, 2, 2), torch.zeros(2, 1, 2, 2)
    mask[0, 0, 0] = 1
    mask[0, 0, 1, 0] = 1  # leaves 1 pixel, and all 4 of the other image
    fake = torch.stack([torch.full((3, 2, 2), 0.8), torch.full((3, 2, 2), -0.2)])
    assert losses.loss_outside(fake, image, mask).item() == pytest.approx((0.8 + 0.2) / 2)


def test_outside_is_its_formula() -> None:
    found = losses.loss_outside(tensor(images(0)), tensor(images(1)), tensor(masks())).item()
    assert found == pytest.approx(outside_formula(images(0), images(1), masks()), rel=1e-5)


def test_outside_a_full_mask_is_nothing() -> None:
    fake = torch.ones(2, 3, 4, 4, requires_grad=True)
    term = losses.loss_outside(fake, torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4))
    term.backward()  # type: ignore[no-untyped-call]
    assert term == 0
    assert fake.grad is not None and (fake.grad == 0).all()


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
        lambda x, share: losses.loss_cycle(x, tensor(REFERENCE[share]), tensor(masks()[share]), 0.3),
        lambda x: cycle_formula(x, REFERENCE, masks(), 0.3),
    ),
    "outside": (
        lambda x, share: losses.loss_outside(x, tensor(REFERENCE[share]), tensor(masks()[share])),
        lambda x: outside_formula(x, REFERENCE, masks()),
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
