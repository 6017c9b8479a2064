"""Every equation against its formula as printed, in NumPy float64 with the logarithms written out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan import losses

REAL = np.array([0.3, -1.2, 2.5])
FAKE = np.array([-0.7, 1.1, 0.4, -2.0])


def probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    decided: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return decided


def tensor(values: NDArray[np.float64], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(values).to(dtype)


def test_d1_is_eq_2_negated() -> None:
    wanted = -(np.log(probability(REAL)).mean() + np.log(1 - probability(FAKE)).mean())
    assert losses.loss_d1(tensor(REAL), tensor(FAKE)).item() == pytest.approx(wanted, rel=1e-6)


def test_d2_is_eq_3_negated() -> None:
    wanted = -(np.log(probability(FAKE)).mean() + np.log(1 - probability(REAL)).mean())
    assert losses.loss_d2(tensor(REAL), tensor(FAKE)).item() == pytest.approx(wanted, rel=1e-6)


def test_d1_falls_as_it_tells_real_from_generated_and_d2_rises() -> None:
    for sure, unsure in ((3.0, 0.5), (0.5, -2.0)):
        real, fake = torch.full((4,), 1.0), torch.full((4,), -1.0)
        assert losses.loss_d1(real * sure, fake * sure) < losses.loss_d1(real * unsure, fake * unsure)
        assert losses.loss_d2(real * sure, fake * sure) > losses.loss_d2(real * unsure, fake * unsure)


def test_d2_is_d1_with_the_roles_of_real_and_generated_changed() -> None:
    assert losses.loss_d2(tensor(REAL), tensor(FAKE)) == losses.loss_d1(tensor(FAKE), tensor(REAL))


@pytest.mark.parametrize(
    ("form", "against_d1", "against_d2"),
    [
        ("paper", np.log(1 - probability(FAKE)).mean(), np.log(probability(FAKE)).mean()),
        ("nonsaturating", -np.log(probability(FAKE)).mean(), -np.log(1 - probability(FAKE)).mean()),
    ],
)
def test_the_generator_terms_are_those_of_eqs_4_and_5(form: str, against_d1: float, against_d2: float) -> None:
    assert losses.loss_adv_d1(tensor(FAKE), form).item() == pytest.approx(against_d1, rel=1e-6)
    assert losses.loss_adv_d2(tensor(FAKE), form).item() == pytest.approx(against_d2, rel=1e-6)


@pytest.mark.parametrize("form", ["paper", "nonsaturating"])
def test_a_generator_gains_where_d1_calls_it_real_and_d2_does_not_call_it_generated(form: str) -> None:
    logits = tensor(FAKE).requires_grad_()
    (towards_d1,) = torch.autograd.grad(losses.loss_adv_d1(logits, form), logits)
    (towards_d2,) = torch.autograd.grad(losses.loss_adv_d2(logits, form), logits)
    assert (towards_d1 < 0).all()
    assert (towards_d2 > 0).all()


def test_only_the_nonsaturating_form_has_a_gradient_where_d1_is_sure() -> None:
    gradients = {}
    for form in ("paper", "nonsaturating"):
        logits = torch.full((1,), -20.0, requires_grad=True)
        losses.loss_adv_d1(logits, form).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        gradients[form] = logits.grad.abs().item()
    assert gradients["paper"] < 1e-8
    assert gradients["nonsaturating"] == pytest.approx(1)


@pytest.mark.parametrize("level", [-80.0, 80.0])
def test_terms_and_gradients_stay_finite_where_a_logarithm_would_not(level: float) -> None:
    logits = torch.full((3,), level, requires_grad=True)
    terms = [losses.loss_d1(logits, logits), losses.loss_d2(logits, logits)]
    for form in ("paper", "nonsaturating"):
        terms += [losses.loss_adv_d1(logits, form), losses.loss_adv_d2(logits, form)]
    total = torch.stack(terms)
    total.sum().backward()  # type: ignore[no-untyped-call]
    assert total.isfinite().all()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert terms[0].item() == pytest.approx(80)


def test_cycle_is_the_mean_absolute_difference_over_all_pixels() -> None:
    image = torch.tensor([[[[0.0, 1.0]]], [[[-1.0, 0.5]]]])
    cycled = torch.tensor([[[[0.5, 1.0]]], [[[1.0, 0.0]]]])
    assert losses.loss_cycle(cycled, image).item() == pytest.approx((0.5 + 0 + 2 + 0.5) / 4)


def test_outside_counts_the_change_of_unmasked_pixels_only_and_averages_over_them() -> None:
    image = torch.zeros(1, 3, 2, 2)
    fake = torch.full((1, 3, 2, 2), 0.25)
    fake[..., 0, 0] = 9
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    assert losses.loss_outside(fake, image, mask).item() == pytest.approx(0.25)


def test_outside_a_full_mask_is_nothing() -> None:
    assert losses.loss_outside(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.ones(2, 1, 4, 4)) == 0


def features(seed: int) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in ((2, 3, 4, 5), (2, 6, 2, 2))]


def semantic(weight: list[float], norm: str) -> float:
    fake, real = ([tensor(tap) for tap in features(seed)] for seed in (0, 1))
    return losses.loss_semantic(fake, real, torch.tensor(weight), norm).item()


def test_semantic_l2_is_the_mean_square_of_each_tap_summed_over_the_taps() -> None:
    wanted = sum(np.square(fake - real).mean() for fake, real in zip(features(0), features(1), strict=True))
    assert semantic([1, 1], "l2") == pytest.approx(wanted, rel=1e-6)


def test_semantic_channel_mean_compares_each_channels_mean() -> None:
    means = ((fake.mean((2, 3)), real.mean((2, 3))) for fake, real in zip(features(0), features(1), strict=True))
    assert semantic([1, 1], "channel_mean") == pytest.approx(sum(np.square(a - b).mean() for a, b in means), rel=1e-6)


def test_channel_mean_does_not_see_where_in_the_crop_a_feature_is() -> None:
    tap = tensor(features(0)[0])
    moved = tap.roll((1, 2), (2, 3))
    weight = torch.ones(2)
    assert losses.loss_semantic([tap], [moved], weight, "channel_mean").item() == pytest.approx(0, abs=1e-12)
    assert losses.loss_semantic([tap], [moved], weight, "l2") > 0.1


@pytest.mark.parametrize("norm", ["l2", "channel_mean"])
def test_a_pair_of_weight_0_is_left_out_of_sum_and_count(norm: str) -> None:
    alone = losses.loss_semantic(
        [tensor(tap[:1]) for tap in features(0)], [tensor(tap[:1]) for tap in features(1)], torch.ones(1), norm
    )
    assert semantic([1, 0], norm) == pytest.approx(alone.item(), rel=1e-6)
    assert semantic([0, 0], norm) == 0


SCALARS: dict[str, Callable[[Tensor], Tensor]] = {
    "d1": lambda x: losses.loss_d1(x[:2], x[2:]),
    "d2": lambda x: losses.loss_d2(x[:2], x[2:]),
    "adv_d1 paper": lambda x: losses.loss_adv_d1(x, "paper"),
    "adv_d2 paper": lambda x: losses.loss_adv_d2(x, "paper"),
    "adv_d1 nonsaturating": lambda x: losses.loss_adv_d1(x, "nonsaturating"),
    "adv_d2 nonsaturating": lambda x: losses.loss_adv_d2(x, "nonsaturating"),
    "cycle": lambda x: losses.loss_cycle(x.view(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)),
    "outside": lambda x: losses.loss_outside(x.view(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.eye(2)[None, None]),
    "l2": lambda x: losses.loss_semantic([x.view(2, 2, 1, 1)], [torch.ones(2, 2, 1, 1)], torch.ones(2), "l2"),
    "channel_mean": lambda x: losses.loss_semantic(
        [x.view(1, 1, 2, 2)], [torch.ones(1, 1, 2, 2)], torch.ones(1), "channel_mean"
    ),
}


@pytest.mark.parametrize("name", SCALARS)
def test_gradients_are_the_finite_differences(name: str) -> None:
    loss, step = SCALARS[name], 0.01
    point = tensor(FAKE).requires_grad_()
    loss(point).backward()  # type: ignore[no-untyped-call]
    assert point.grad is not None
    for i in range(len(FAKE)):
        nudge = step * torch.eye(len(FAKE))[i]
        difference = (loss(point.detach() + nudge) - loss(point.detach() - nudge)).item() / (2 * step)
        assert point.grad[i].item() == pytest.approx(difference, abs=2e-4)


@pytest.mark.parametrize("name", SCALARS)
def test_every_term_is_a_scalar_in_fp32_also_for_bf16(name: str) -> None:
    coarse = tensor(FAKE, torch.bfloat16)
    term = SCALARS[name](coarse)
    assert term.dtype == torch.float32
    assert term.shape == ()
    assert term.item() == pytest.approx(SCALARS[name](coarse.float()).item(), rel=1e-6)
