"""What a run publishes and what it says of it; the distances are those that each test names."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from anomaly_gan.config import ViewConfig
from anomaly_gan.exemplars.exemplar import cut_exemplars
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.generation.description import published_in_words
from anomaly_gan.generation.generate import Generated
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.metrics.features.network import FeatureSource
from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.validation import LearntAndHeld
from infra.errors import NotFoundError
from jobs.train import publication
from jobs.train.publication import Publication
from tests.support.builders import (
    CLASS,
    CPU,
    abnormal_sample,
    equal_states,
    normal_sample,
    tiny_generator,
    train_config,
    train_state,
    weights_of,
)

ABNORMALS = [abnormal_sample(i) for i in range(3)]
ALL = LearntAndHeld([normal_sample(0)], ABNORMALS, build_pool(ABNORMALS, CLASS), reason="class hole has 3 groups")
PARTS = replace(ALL, abnormals=ABNORMALS[:2], held_normals=[normal_sample(1)], held_abnormals=ABNORMALS[2:], reason="")
"""Of each training split: nothing, and one picture held out."""


class NamedDistances:
    """Stands for `AnomalyDistance`; `left` has the values of the next looks."""

    anomalies = 14
    source = FeatureSource(network="lite0", sha256="ab" * 32, input="")
    left: list[float]
    compared_with: Sequence[Sample]

    def __init__(self, network: Any, real: Sequence[Sample], *args: Any, **kwargs: Any) -> None:
        NamedDistances.compared_with = real

    def seen(self, images: Sequence[Generated]) -> None:
        return None

    def of(self, seen: None) -> HalvedDistance:
        value = self.left.pop(0)
        return HalvedDistance(value, (value - 0.01, value + 0.01))


@pytest.fixture(autouse=True)
def named_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "load_features", lambda *args, **kwargs: None)
    monkeypatch.setattr(publication, "AnomalyDistance", NamedDistances)


def begun(data: LearntAndHeld, method: AnomalyGan, state: dict[str, Any] | None = None) -> Publication:
    return Publication(data, ViewConfig(size=64), method, CPU, state or {})


def trained(data: LearntAndHeld, *values: float) -> tuple[Publication, AnomalyGan]:
    """A run of as many steps with these distances; after step n it has the weights of `tiny_generator(n)`."""
    NamedDistances.left = list(values)
    method = train_state(train_config(total_images=2 * len(values)))
    published = begun(data, method)
    for step in range(1, len(values) + 1):
        method.g_ema.load_state_dict(weights_of(tiny_generator(step)))
        method.step = step
        published.measure(step, [], {"mask_hit": step / 10})
    return published, method


def step_of(published: Publication) -> int:
    """Whose weights are published."""
    found = weights_of(published.generator)
    [step] = [step for step in range(1, 6) if equal_states(found, weights_of(tiny_generator(step)))]
    return step


def test_the_best_checkpoint_is_published_and_its_record_says_why() -> None:
    published, _ = trained(PARTS, 0.3, 0.1, 0.2, 0.15)
    assert step_of(published) == 2
    assert not published.generator.training
    record = published.record({"mask_hit": 0.9})
    assert record["nimg"] == 4
    assert record["measures"] == {"mask_hit": 0.2, "anomaly_kid": 0.1, "anomaly_kid_deviation": pytest.approx(0.01)}
    told = record["published"]
    assert (told["step"], told["total_steps"], told["value"]) == (2, 4, 0.1)
    assert (told["compared_with"], told["anomalies"], told["features"]["network"]) == ("validation", 14, "lite0")
    assert record["validation"] == {"normal_images": 1, "abnormal_images": 1}
    assert published_in_words(record) == (
        "step 2 of 4, KID 0.1000 ± 0.0100 to 14 validation anomalies; the latest checkpoint that is not worse than the"
        " best one (step 2: 0.1000) by more than the standard error of their difference"
    )
    assert published.published_measure == 0.1
    assert NamedDistances.compared_with == PARTS.held_abnormals


def test_what_is_published_has_the_exemplars_that_the_run_laid_in() -> None:
    published, method = trained(PARTS, 0.1, 0.3)
    method.generator.exemplars = cut_exemplars(ABNORMALS, CLASS, 64)
    assert step_of(published) == 1
    assert published.generator.exemplars == method.generator.exemplars != ()


def test_where_nothing_is_held_out_the_last_checkpoint_is_published_and_the_reason_told() -> None:
    published, _ = trained(ALL, 0.3, 0.1, 0.2)
    assert step_of(published) == 3
    told = published_in_words(published.record({"anomaly_kid": 0.2, "anomaly_kid_deviation": 0.01}))
    assert told == (
        "step 3 of 3, KID 0.2000 ± 0.0100 to 14 training anomalies; the last checkpoint, for nothing is held out:"
        " class hole has 3 groups"
    )
    assert "the last checkpoint will be published, for nothing is held out: class hole" in published.beginning
    assert published.published_measure == 0.2
    assert NamedDistances.compared_with == ALL.abnormals
    assert published.state_dict() == {}


class NamedLooks:
    """Stands for `AnomalyUnlikeness`; `left` has the values of the next looks."""

    anomalies = 3
    left: list[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def of(self, images: Sequence[Generated]) -> HalvedDistance:
        value = self.left.pop(0)
        return HalvedDistance(value, (value - 0.01, value + 0.01))


@pytest.mark.parametrize(("looks", "step"), [([0.7, 1.1, 1.4], 0), ([1.1, 0.9, 1.4], 1), ([1.1, 0.9, 0.8], 2)])
def test_of_few_pictures_the_generator_that_looks_most_like_them_is_published_be_it_the_first(
    monkeypatch: pytest.MonkeyPatch, looks: list[float], step: int
) -> None:
    monkeypatch.setattr(publication, "AnomalyUnlikeness", NamedLooks)
    NamedLooks.left, NamedDistances.left = list(looks), [0.3, 0.2, 0.1]
    method = train_state(train_config(total_images=4))
    method.generator.exemplars = cut_exemplars(ABNORMALS, CLASS, 64)
    published = begun(ALL, method)
    assert published.sees_first_weights
    assert "class hole has 3 groups; the first weights and the checkpoints are compared" in published.beginning
    for number in range(3):
        method.g_ema.load_state_dict(weights_of(tiny_generator(number)))
        published.measure(number, [], {})
    assert equal_states(weights_of(published.generator), weights_of(tiny_generator(step)))
    record = published.record({})
    told, features = published_in_words(record), record["published"]["features"]
    assert told.startswith(
        f"step {step} of 2, unlikeness {looks[step]:.4f} ± 0.0100 to 3 training anomalies; the latest"
    )
    assert features is None
    assert published.published_measure == [0.3, 0.2, 0.1][step]  # what a search minimises stays one measure


def test_without_exemplars_or_where_no_validation_is_wanted_the_first_weights_are_no_candidate() -> None:
    method = train_state(train_config())
    assert not begun(ALL, method).sees_first_weights
    method = train_state(train_config(validation=0.0))
    method.generator.exemplars = cut_exemplars(ABNORMALS, CLASS, 64)
    assert not begun(ALL, method).sees_first_weights
    assert not begun(PARTS, method).sees_first_weights


def test_without_the_file_of_the_features_the_last_checkpoint_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> None:
        raise NotFoundError("lite0: package is not installed; run make install")

    monkeypatch.setattr(publication, "load_features", missing)
    published, _ = trained(PARTS, 0.3, 0.1, 0.2)
    assert step_of(published) == 3
    assert math.isnan(published.published_measure)
    told = published_in_words(published.record({"mask_hit": 0.5}))
    assert told == (
        "step 3 of 3; the last checkpoint, for nothing is measured: lite0: package is not installed; run make install"
    )


def test_a_run_that_goes_on_publishes_what_was_best_before() -> None:
    first, method = trained(PARTS, 0.3, 0.1)
    NamedDistances.left = [0.2]
    method.g_ema.load_state_dict(weights_of(tiny_generator(3)))
    again = begun(PARTS, method, first.state_dict())
    again.measure(3, [], {})
    assert step_of(again) == 2


def test_the_beginning_says_what_is_not_learnt_from() -> None:
    assert begun(PARTS, train_state(train_config())).beginning == (
        "validation: 1 abnormal and 1 normal pictures are not learnt from; checkpoints are compared by 14 anomalies of"
        " them"
    )


def test_what_is_published_does_not_change_with_the_training() -> None:
    published, method = trained(PARTS, 0.1, 0.3)
    with torch.no_grad():
        for parameter in method.g_ema.parameters():
            parameter.add_(1.0)
    assert step_of(published) == 1
