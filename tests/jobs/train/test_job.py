"""What a rank of a train job says and keeps beside the training itself; the whole is in tests/integration."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anomaly_gan.training.loop import StepReport
from infra.errors import DataError, TrainingError
from jobs.train.checkpoints import CheckpointStore
from jobs.train.job import _named
from tests.support.builders_jobs import REPORT
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
        checkpoints.save(step, path, 0.5)
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
