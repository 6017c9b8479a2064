"""Every form of Eqs. 2 to 5 against its formula in NumPy float64, with sigmoid, softplus and logarithm written out."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.config import LossConfig
from anomaly_gan.gan import losses
from anomaly_gan.gan.adversarial import FORMS, log_softplus

Array = NDArray[np.float64]
REAL = np.array([0.3, -1.2, 2.5, 0.6])
FAKE = np.array([-0.7, 1.4, 0.4, -2.0])
ALPHA, BETA = 0.4, 0.15
TERMS = ("d1", "d2", "adv_d1", "adv_d2")


def config(form: str, **values: Any) -> LossConfig:
    return LossConfig.model_validate({"adversarial": form, "d2gan_alpha": ALPHA, "d2gan_beta": BETA, **values})


def term(name: str, real: Tensor, fake: Tensor, loss: LossConfig) -> Tensor:
    if name.startswith("adv"):
        return {"adv_d1": losses.loss_adv_d1, "adv_d2": losses.loss_adv_d2}[name](fake, loss)
    return {"d1": losses.loss_d1, "d2": losses.loss_d2}[name](real, fake, loss)


def value(name: str, real: Array, fake: Array, loss: LossConfig) -> float:
    return term(name, tensor(real), tensor(fake), loss).item()


def tensor(values: Array, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.from_numpy(values).to(dtype)


def sigmoid(s: Array) -> Array:
    decided: Array = 1 / (1 + np.exp(-s))
    return decided


def positive(s: Array) -> Array:
    score: Array = np.log(1 + np.exp(s))
    return score


def hinge(s: Array) -> Array:
    return np.maximum(0, 1 - s)


FORMULAS: dict[str, dict[str, Callable[[Array, Array], float]]] = {
    "paper": {
        "d1": lambda r, f: -(np.log(sigmoid(r)).mean() + np.log(1 - sigmoid(f)).mean()),
        "d2": lambda r, f: -(np.log(sigmoid(f)).mean() + np.log(1 - sigmoid(r)).mean()),
        "adv_d1": lambda r, f: np.log(1 - sigmoid(f)).mean(),
        "adv_d2": lambda r, f: np.log(sigmoid(f)).mean(),
    },
    "nonsaturating": {
        "d1": lambda r, f: -(np.log(sigmoid(r)).mean() + np.log(1 - sigmoid(f)).mean()),
        "d2": lambda r, f: -(np.log(sigmoid(f)).mean() + np.log(1 - sigmoid(r)).mean()),
        "adv_d1": lambda r, f: -np.log(sigmoid(f)).mean(),
        "adv_d2": lambda r, f: -np.log(1 - sigmoid(f)).mean(),
    },
    "d2gan": {
        "d1": lambda r, f: -(ALPHA * np.log(positive(r)).mean() - positive(f).mean()),
        "d2": lambda r, f: -(-positive(r).mean() + BETA * np.log(positive(f)).mean()),
        "adv_d1": lambda r, f: -positive(f).mean(),
        "adv_d2": lambda r, f: BETA * np.log(positive(f)).mean(),
    },
    "lsgan": {
        "d1": lambda r, f: 0.5 * np.square(r - 1).mean() + 0.5 * np.square(f).mean(),
        "d2": lambda r, f: 0.5 * np.square(f - 1).mean() + 0.5 * np.square(r).mean(),
        "adv_d1": lambda r, f: 0.5 * np.square(f - 1).mean(),
        "adv_d2": lambda r, f: 0.5 * np.square(f).mean(),
    },
    "hinge": {
        "d1": lambda r, f: hinge(r).mean() + hinge(-f).mean(),
        "d2": lambda r, f: hinge(f).mean() + hinge(-r).mean(),
        "adv_d1": lambda r, f: -f.mean(),
        "adv_d2": lambda r, f: f.mean(),
    },
}
FORM_AND_TERM = [(form, name) for form in FORMULAS for name in TERMS]


def test_there_is_a_formula_for_each_form_that_can_be_chosen() -> None:
    assert set(FORMULAS) == set(FORMS)
    for form in FORMS:
        assert config(form).adversarial == form


@pytest.mark.parametrize(("form", "name"), FORM_AND_TERM)
def test_a_term_is_its_formula(form: str, name: str) -> None:
    wanted = FORMULAS[form][name](REAL, FAKE)
    assert value(name, REAL, FAKE, config(form)) == pytest.approx(wanted, rel=1e-5)


BY_HAND = {
    # s = log 3 and s = 0: D = sigmoid(s) is 3/4 on the real image and 1/2 on the generated one
    "paper": ((np.log(3), 0), (np.log(4 / 3) + np.log(2), np.log(2) + np.log(4), -np.log(2), -np.log(2))),
    # s = log 3 and s = -log 3: D is 3/4 and 1/4
    "nonsaturating": ((np.log(3), -np.log(3)), (2 * np.log(4 / 3), 2 * np.log(4), np.log(4), np.log(4 / 3))),
    # s = log(e^2 - 1) and s = log(e^(1/2) - 1): D = softplus(s) is 2 and 1/2; alpha = 0.4, beta = 0.15
    "d2gan": (
        (np.log(np.exp(2) - 1), np.log(np.exp(0.5) - 1)),
        (0.5 - 0.4 * np.log(2), 2 + 0.15 * np.log(2), -0.5, -0.15 * np.log(2)),
    ),
    "lsgan": ((0.5, -2), (0.125 + 2, 4.5 + 0.125, 4.5, 2)),
    "hinge": ((0.5, -2), (0.5 + 0, 3 + 1.5, 2, -2)),
}


@pytest.mark.parametrize("form", FORMULAS)
def test_the_terms_of_one_pair_by_hand(form: str) -> None:
    (real, fake), wanted = BY_HAND[form]
    found = [value(name, np.array([real]), np.array([fake]), config(form)) for name in TERMS]
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("form", "name"), FORM_AND_TERM)
def test_a_gradient_is_the_slope_of_the_formula(form: str, name: str) -> None:
    real, fake = tensor(REAL).requires_grad_(), tensor(FAKE).requires_grad_()
    term(name, real, fake, config(form)).backward()  # type: ignore[no-untyped-call]
    step = 1e-5 * np.eye(len(REAL))
    formula = FORMULAS[form][name]
    by_real = [(formula(REAL + d, FAKE) - formula(REAL - d, FAKE)) / 2e-5 for d in step]
    by_fake = [(formula(REAL, FAKE + d) - formula(REAL, FAKE - d)) / 2e-5 for d in step]
    assert fake.grad is not None
    assert fake.grad.tolist() == pytest.approx(by_fake, rel=1e-3, abs=1e-8)
    found = [0.0] * len(REAL) if real.grad is None else real.grad.tolist()
    assert found == pytest.approx(by_real, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("form", FORMULAS)
@settings(max_examples=20, deadline=None)
@given(real=st.lists(st.floats(-30, 30), min_size=1), fake=st.lists(st.floats(-30, 30), min_size=1))
def test_d2_is_d1_with_real_and_generated_swapped(form: str, real: list[float], fake: list[float]) -> None:
    loss = config(form, d2gan_alpha=0.3, d2gan_beta=0.3)
    a, b = torch.tensor(real), torch.tensor(fake)
    assert losses.loss_d2(a, b, loss) == losses.loss_d1(b, a, loss)


@pytest.mark.parametrize("form", FORMULAS)
def test_d1_falls_as_it_tells_real_from_generated_and_d2_rises(form: str) -> None:
    real, fake, loss = np.full(4, 0.4), np.full(4, -0.4), config(form)
    assert value("d1", real, fake, loss) < value("d1", fake, real, loss)
    assert value("d2", real, fake, loss) > value("d2", fake, real, loss)


@pytest.mark.parametrize("form", FORMULAS)
def test_a_generator_gains_where_d1_scores_its_image_higher_and_d2_lower(form: str) -> None:
    lower, higher, loss = np.array([0.2]), np.array([0.8]), config(form)
    assert value("adv_d1", REAL, higher, loss) < value("adv_d1", REAL, lower, loss)
    assert value("adv_d2", REAL, higher, loss) > value("adv_d2", REAL, lower, loss)


@pytest.mark.parametrize(("form", "slope"), [("paper", 0), ("nonsaturating", 1), ("d2gan", 0), ("hinge", 1)])
def test_a_generator_has_a_gradient_where_d1_is_sure_only_in_some_forms(form: str, slope: float) -> None:
    logits = torch.full((1,), -20.0, requires_grad=True)
    losses.loss_adv_d1(logits, config(form)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(-slope, abs=1e-8)


def test_alpha_weights_log_d1_on_real_images_and_beta_log_d2_on_generated_ones() -> None:
    def slopes(**values: float) -> list[float]:
        return [value(name, REAL, FAKE, config("d2gan", **values)) for name in TERMS]

    once, alpha, beta = slopes(), slopes(d2gan_alpha=2 * ALPHA), slopes(d2gan_beta=2 * BETA)
    log_d1_real, log_d2_fake = np.log(positive(REAL)).mean(), np.log(positive(FAKE)).mean()
    assert np.subtract(alpha, once) == pytest.approx([-ALPHA * log_d1_real, 0, 0, 0], rel=1e-4)
    assert np.subtract(beta, once) == pytest.approx([0, -BETA * log_d2_fake, 0, BETA * log_d2_fake], rel=1e-4)


@pytest.mark.parametrize("form", sorted(set(FORMULAS) - {"d2gan"}))
def test_other_forms_have_no_alpha_and_beta(form: str) -> None:
    for name in TERMS:
        other = config(form, d2gan_alpha=0.9, d2gan_beta=0.8)
        assert value(name, REAL, FAKE, config(form)) == value(name, REAL, FAKE, other)


@pytest.mark.parametrize("form", FORMULAS)
def test_lambda_1_is_left_to_the_caller(form: str) -> None:
    for name in TERMS:
        assert value(name, REAL, FAKE, config(form, lambda_1=0)) == value(name, REAL, FAKE, config(form, lambda_1=7))


@pytest.mark.parametrize(("form", "name"), FORM_AND_TERM)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_term_and_its_gradient_are_finite_for_extreme_logits(form: str, name: str, dtype: torch.dtype) -> None:
    for real_level, fake_level in itertools.product((-1e4, -100.0, 100.0, 1e4), repeat=2):
        real = torch.full((3,), real_level, dtype=dtype, requires_grad=True)
        fake = torch.full((3,), fake_level, dtype=dtype, requires_grad=True)
        found = term(name, real, fake, config(form))
        gradients = torch.autograd.grad(found, (real, fake), allow_unused=True)
        assert found.isfinite(), (real_level, fake_level)
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients), (real_level, fake_level)


def test_far_from_0_the_logarithms_of_the_sigmoid_are_straight_lines() -> None:
    far = np.array([1e4])
    for name, form, wanted in (
        ("adv_d1", "paper", -1e4),
        ("adv_d2", "paper", 0),
        ("adv_d1", "nonsaturating", 0),
        ("adv_d2", "nonsaturating", 1e4),
    ):
        assert value(name, far, far, config(form)) == pytest.approx(wanted)
    assert value("d1", far, far, config("paper")) == pytest.approx(1e4)


def test_log_softplus_is_the_logarithm_on_both_sides_of_its_seam() -> None:
    s = np.concatenate([np.linspace(-80, 40, 997), [-15 - 1e-6, -15, -15 + 1e-6]])
    logits = tensor(s).requires_grad_()
    found = log_softplus(logits)
    (slope,) = torch.autograd.grad(found.sum(), logits)
    wanted = np.log(np.log1p(np.exp(s)))
    wanted_slope = sigmoid(s) / np.log1p(np.exp(s))
    assert found.detach().numpy() == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert slope.numpy() == pytest.approx(wanted_slope, rel=1e-5)


def test_log_softplus_is_the_logit_far_below_0_and_its_logarithm_far_above() -> None:
    logits = torch.tensor([-1e4, -200.0, 200.0, 1e4], requires_grad=True)
    found = log_softplus(logits)
    (slope,) = torch.autograd.grad(found.sum(), logits)
    assert found.tolist() == pytest.approx([-1e4, -200, np.log(200), np.log(1e4)])
    assert slope.tolist() == pytest.approx([1, 1, 1 / 200, 1 / 1e4])


@pytest.mark.parametrize(("form", "name"), FORM_AND_TERM)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_term_is_an_fp32_scalar_whatever_the_logits_are(form: str, name: str, dtype: torch.dtype) -> None:
    real, fake = tensor(REAL, dtype), tensor(FAKE, dtype)
    found = term(name, real, fake, config(form))
    assert found.dtype == torch.float32
    assert found.shape == ()
    assert found == term(name, real.float(), fake.float(), config(form))


@pytest.mark.parametrize(("form", "name"), FORM_AND_TERM)
def test_the_shares_of_a_batch_average_to_the_whole(form: str, name: str) -> None:
    shares = [value(name, REAL[i::2], FAKE[i::2], config(form)) for i in range(2)]
    assert np.mean(shares) == pytest.approx(value(name, REAL, FAKE, config(form)), rel=1e-5)
