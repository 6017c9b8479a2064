"""What a rank of a train job says and keeps beside the training itself; the whole is in tests/integration."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.training import validation
from anomaly_gan.training.loop import StepReport
from infra.errors import DataError, TrainingError
from infra.settings import Settings
from jobs.library.maskpools.store import full_name
from jobs.record.context import JobContext
from jobs.spec.specs import TrainSpec
from jobs.train import job
from jobs.train.checkpoints import CheckpointStore
from jobs.train.job import _aware, _data, _named
from tests.support.builders import CPU
from tests.support.builders_jobs import REPORT, RESOLUTION, TRAIN_JOB, put_dataset
from tests.support.builders_masks import built
from tests.support.helpers import MemoryStorage


def failing(error: Exception) -> Iterator[StepReport]:
    yield REPORT
    raise error


@pytest.fixture
def checkpoints() -> CheckpointStore:
    return CheckpointStore(MemoryStorage(), "jobs/train-1/checkpoints")


def test_a_run_that_fails_names_the_last_good_checkpoint(checkpoints: CheckpointStore, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"weights")
    for step in (50, 100):
        checkpoints.save(step, path)
    reports = _named(failing(TrainingError("d1 is nan at step 120")), checkpoints)
    assert next(reports) is REPORT
    with pytest.raises(TrainingError, match=r"^d1 is nan at step 120; the last good checkpoint is of step 100$"):
        next(reports)


def test_a_run_that_fails_before_its_first_checkpoint_says_that_there_is_none(checkpoints: CheckpointStore) -> None:
    reports = _named(failing(TrainingError("d1 is nan at step 1")), checkpoints)
    assert next(reports) is REPORT
    with pytest.raises(TrainingError, match=r"^d1 is nan at step 1; the last good checkpoint is none$"):
        next(reports)


def test_an_error_of_the_data_is_left_as_it_is(checkpoints: CheckpointStore) -> None:
    reports = _named(failing(DataError("picture: broken")), checkpoints)
    next(reports)
    with pytest.raises(DataError, match=r"^picture: broken$"):
        next(reports)


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> JobContext[TrainSpec]:
    """A train job of a class of which a validation split can be held out."""
    monkeypatch.setattr(validation, "LEAST_ANOMALIES", 2)
    storage = MemoryStorage()
    index = put_dataset(storage, crack=24)
    spec = TrainSpec(dataset=f"tiles@{index.version}", class_name="crack", view=ViewConfig(size=RESOLUTION))
    return JobContext(TRAIN_JOB, spec, Settings(), storage)


def test_a_rank_learns_from_no_picture_and_no_shape_of_the_validation_split(context: JobContext[TrainSpec]) -> None:
    data, source = _data(context, rank=1, world_size=2)
    held = {sample.key for sample in (*data.held_abnormals, *data.held_normals)}
    learnt = {sample.key for sample in (*source.abnormals, *source.normals)}
    assert held and not held & learnt
    assert not held & {element.source for element in source.pool.elements}
    assert (source.rank, source.world_size) == (1, 2)


def test_a_stored_pool_is_used_without_the_shapes_of_the_validation_split(context: JobContext[TrainSpec]) -> None:
    index = built(context.storage, context.spec.dataset).index
    named = context.spec.model_copy(update={"mask_pool": full_name(index)})
    data, source = _data(replace(context, spec=named), rank=0, world_size=1)
    of_pool = {element.source for element in source.pool.elements}
    assert of_pool == {sample.key for sample in data.abnormals} and source.pool.rationality is not None


def test_an_aware_network_that_has_seen_the_validation_split_is_not_taken(
    context: JobContext[TrainSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    monkeypatch.setattr(job, "cached_aware", lambda storage, name, version, key, make: keys.append(key))
    for share in (0.17, 0.3, 0.0):
        train = context.spec.train.model_copy(update={"validation": share})
        changed = replace(context, spec=context.spec.model_copy(update={"train": train}))
        _aware(changed, *_data(changed, 0, 1), CPU)
    assert [key.get("validation") for key in keys] == [0.17, 0.3, None]
