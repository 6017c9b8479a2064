"""Which generated images can be evaluated on which data set."""

import pytest

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from infra.errors import NotFoundError, UsageError
from jobs.spec.specs import EvaluateSpec, GenerateSpec, TrainSpec
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_dataset, put_generated, put_model, put_spec
from tests.support.helpers import MemoryStorage
from tests.support.specs import asked, completed


def test_evaluation_needs_results_of_a_generate_job() -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    put_model(storage)
    with pytest.raises(NotFoundError, match=f"job {GENERATE_JOB}: not in memory://store"):
        completed(storage, EvaluateSpec)
    put_generated(storage)
    spec = completed(storage, EvaluateSpec).spec
    assert spec.dataset == f"tiles@{index.version}"


def test_evaluation_with_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"^detector\.name: unknown detector, got 'yolo'; use one of mask_rcnn, "):
        completed(storage, EvaluateSpec, detector__name="yolo")


def test_a_detector_brings_what_it_has_otherwise_and_a_value_that_was_asked_for_stays() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage, model=put_model(storage))
    resolved = completed(storage, EvaluateSpec, detector__steps=7)
    detector, defaults = resolved.spec.detector, find_detector("segmenter").defaults
    assert (detector.batch_size, detector.steps) == (defaults["batch_size"], 7) != (4, defaults["steps"])
    assert resolved.sources["detector.batch_size"] == "list of detectors"
    assert resolved.sources["detector.steps"] == "flag"
    assert completed(storage, EvaluateSpec, detector__name="mask_rcnn").spec.detector == DetectorConfig(
        name="mask_rcnn"
    )


def test_an_evaluation_takes_longer_where_there_are_many_views(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage, model=put_model(storage))
    assert completed(storage, EvaluateSpec).spec.detector.steps == find_detector("segmenter").defaults["steps"]
    monkeypatch.setattr("anomaly_gan.evaluation.schedule.PASSES", 1000)
    resolved = completed(storage, EvaluateSpec)
    assert resolved.spec.detector.steps == 1000 * 3 / 4 and resolved.sources["detector.steps"] == "data set"
    assert completed(storage, EvaluateSpec, detector__steps=7).spec.detector.steps == 7


def test_evaluation_of_a_job_of_another_kind_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage)
    put_spec(storage, GENERATE_JOB, asked(TrainSpec).spec)
    with pytest.raises(UsageError, match=f"generated: job {GENERATE_JOB} is a train job; name a generate job"):
        completed(storage, EvaluateSpec)


def test_evaluation_on_a_data_set_without_the_class_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage, class_name="dent")
    put_generated(storage)
    with pytest.raises(
        UsageError, match=f"tiles has no class 'dent', which job {GENERATE_JOB} made; it has crack, hole"
    ):
        completed(storage, EvaluateSpec)


def test_an_evaluation_on_another_version_than_the_model_learnt_from_is_refused() -> None:
    """Another version may put pictures into the test split that taught the generator."""
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage, dataset="tiles@000000000000")
    put_generated(storage)
    with pytest.raises(UsageError, match=r"was trained on tiles@000000000000.*use tiles@000000000000"):
        completed(storage, EvaluateSpec)


def test_evaluation_of_a_job_that_mixes_classes_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage)
    put_spec(storage, GENERATE_JOB, asked(GenerateSpec, added=[{"model": "another"}]).spec)
    with pytest.raises(UsageError, match=f"job {GENERATE_JOB} mixes classes"):
        completed(storage, EvaluateSpec)


def test_an_evaluation_is_completed_without_the_weights_of_the_model() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage, model=put_model(storage))
    storage.write(f"models/{TRAIN_JOB}/{WEIGHTS}", b"garbage")
    storage.was_read.clear()
    completed(storage, EvaluateSpec)
    assert f"models/{TRAIN_JOB}/{DESCRIPTION}" in storage.was_read
    assert f"models/{TRAIN_JOB}/{WEIGHTS}" not in storage.was_read


def test_an_evaluation_gives_its_arms_the_pictures_that_the_model_has_learnt_from() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage, model=put_model(storage, real=2))
    resolved = completed(storage, EvaluateSpec)
    assert (resolved.spec.real, resolved.sources["real"]) == (2, "model")
    assert completed(storage, EvaluateSpec, real=2).spec.real == 2
    with pytest.raises(UsageError, match=f"^real: 3, but model {TRAIN_JOB} has learnt from 2 anomalous pictures; "):
        completed(storage, EvaluateSpec, real=3)
