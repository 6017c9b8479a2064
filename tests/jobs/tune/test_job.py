import math
from typing import Any

import pytest

from infra.errors import TrainingError
from jobs.spec.specs import TuneSpec
from jobs.tune.job import METRIC, best_trial, trial_spec


def trial(score: float | None, error: str | None = None) -> dict[str, Any]:
    return {METRIC: score, "error": error}


def test_the_best_trial_has_the_lowest_finite_score_and_did_not_fail() -> None:
    trials = [trial(math.nan), trial(-0.1, "lost its workers"), trial(0.0), trial(0.2), trial(None)]
    assert best_trial(trials) is trials[2]


def test_a_search_without_a_score_is_an_error_with_the_first_trials_reason() -> None:
    with pytest.raises(TrainingError, match=r"none of 2 trials gave a score \(first: no room\)"):
        best_trial([trial(None, "no room"), trial(math.inf)])


def test_a_trial_is_the_jobs_train_spec_with_the_searched_values() -> None:
    spec = TuneSpec(dataset="tiles@1", class_name="crack", real=8)
    made = trial_spec(spec, {"lambda_1": 0.5, "lr_g": 1e-3, "lr_d": 2e-3})
    assert (made.train.loss.lambda_1, made.real) == (0.5, 8)
    assert (made.train.optim.lr_g, made.train.optim.lr_d) == (1e-3, 2e-3)
    untouched = made.train.model_copy(update={"loss": spec.train.loss, "optim": spec.train.optim})
    assert untouched == spec.train
