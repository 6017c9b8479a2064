"""Warnings of a run that goes wrong slowly."""

import pytest

from anomaly_gan.training.health import HealthWatch
from tests.support.builders import train_config, train_state

ROLES = ("d1_abnl", "d1_norm", "d2_abnl", "d2_norm")
WELL = dict.fromkeys(ROLES, 1.0) | {"grad_d": 1.0, "grad_g": 1.0}


def watch(adversarial: str = "nonsaturating") -> HealthWatch:
    return HealthWatch(train_state(train_config(loss={"adversarial": adversarial})).watched)


def told(
    tested: HealthWatch, count: int, terms: dict[str, float] | None = None, *, first: int = 1
) -> dict[int, list[str]]:
    """What is said at which of `count` steps with these terms."""
    answers = {step: tested.look(step, WELL | (terms or {})) for step in range(first, first + count)}
    return {step: answer for step, answer in answers.items() if answer}


def test_nothing_is_said_of_a_run_that_goes_well() -> None:
    assert told(watch(), 300) == {}


@pytest.mark.parametrize("name", ROLES)
def test_the_loss_near_zero_of_one_discriminator_in_one_domain_is_told_once_after_50_steps(name: str) -> None:
    answers = told(watch(), 200, {name: 0.01})
    assert list(answers) == [50]
    [sentence] = answers[50]
    assert sentence.startswith(f"step 50: {name} has been below 0.028 for 50 steps: the discriminator wins")
    assert "train.optim.lr_d" in sentence and "train.augment.probability" in sentence


def test_it_is_told_again_after_a_recovery_of_a_single_step() -> None:
    tested = watch()
    assert list(told(tested, 60, {"d1_abnl": 0.01})) == [50]
    assert told(tested, 1, first=61) == {}
    assert list(told(tested, 60, {"d1_abnl": 0.01}, first=62)) == [111]


def test_a_spell_that_ends_before_50_steps_is_not_told() -> None:
    tested = watch()
    for first in (1, 51, 101):
        assert told(tested, 49, {"d1_abnl": 0.0}, first=first) == {}
        assert told(tested, 1, first=first + 49) == {}


def test_two_discriminators_are_told_of_each_for_itself() -> None:
    tested = watch()
    assert told(tested, 10, {"d1_abnl": 0.0}) == {}
    assert list(told(tested, 50, {"d1_abnl": 0.0, "d2_norm": 0.0}, first=11)) == [50, 60]


@pytest.mark.parametrize(
    ("adversarial", "threshold"),
    [("paper", 0.0277), ("nonsaturating", 0.0277), ("hinge", 0.04), ("lsgan", 0.01)],
)
def test_near_zero_is_a_share_of_what_a_discriminator_loses_that_scores_everything_0(
    adversarial: str, threshold: float
) -> None:
    """2 log 2 with a sigmoid, 2 with hinge, 1/2 with lsgan; 2 % of it."""
    assert list(told(watch(adversarial), 60, {"d1_norm": 0.98 * threshold})) == [50]
    assert told(watch(adversarial), 60, {"d1_norm": 1.02 * threshold}) == {}


def test_a_loss_without_a_least_value_is_not_judged() -> None:
    assert told(watch("d2gan"), 200, dict.fromkeys(ROLES, -5.0)) == {}


@pytest.mark.parametrize("name", ["grad_d", "grad_g"])
def test_a_gradient_far_above_the_rest_is_told_with_step_and_factor(name: str) -> None:
    tested = watch()
    told(tested, 30, {name: 0.5})
    assert told(tested, 1, {name: 12.5}, first=31) == {31: [f"step 31: {name} is 12.5, 25 times its median"]}
    assert told(tested, 30, {name: 0.5}, first=32) == {}


def test_ten_times_the_median_is_no_outlier_yet() -> None:
    tested = watch()
    told(tested, 30)
    assert told(tested, 1, {"grad_g": 10.0}, first=31) == {}
    assert list(told(tested, 1, {"grad_g": 10.1}, first=32)) == [32]


def test_no_gradient_is_an_outlier_in_the_first_20_steps() -> None:
    assert told(watch(), 20, {"grad_g": 1.0}) == {}
    for steps, wanted in ((19, []), (20, [21])):
        tested = watch()
        told(tested, steps)
        assert list(told(tested, 1, {"grad_g": 1e6}, first=steps + 1)) == wanted


def test_what_is_usual_is_the_last_100_steps() -> None:
    tested = watch()
    told(tested, 200, {"grad_d": 100.0})
    told(tested, 100, {"grad_d": 1.0}, first=201)
    assert list(told(tested, 1, {"grad_d": 50.0}, first=301)) == [301]


def test_gradients_of_nothing_but_zeros_are_no_measure() -> None:
    tested = watch()
    told(tested, 30, {"grad_g": 0.0})
    assert told(tested, 1, {"grad_g": 1.0}, first=31) == {}


def test_a_d2gan_run_is_told_of_its_gradients() -> None:
    tested = watch("d2gan")
    told(tested, 30)
    assert list(told(tested, 1, {"grad_d": 20.0}, first=31)) == [31]
