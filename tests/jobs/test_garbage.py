"""What no reader sees is found and removed; what somebody may still need is not."""

import time

import pytest

from infra.errors import NotFoundError
from infra.storage import Unfinished
from jobs.garbage import Garbage, find_garbage, remove
from jobs.record import JobState
from jobs.tasks import commit
from tests.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_status
from tests.helpers import MemoryStorage

ORPHAN = f"jobs/{GENERATE_JOB}/out/parts/part-00000001-dead.tar"


def store(state: JobState) -> MemoryStorage:
    """A generate job with a committed part and an orphan."""
    storage = MemoryStorage()
    put_status(storage, GENERATE_JOB, state, heartbeat_at=time.time())
    commit(storage, GENERATE_JOB, 0, b"made", 1, {})
    storage.write(ORPHAN, b"half")
    return storage


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST])
def test_parts_that_no_commit_names_are_removed(state: JobState) -> None:
    storage = store(state)
    before = dict(storage.objects)
    found = find_garbage(storage)
    assert found.parts == ((ORPHAN, 4),)
    assert found.size_bytes == 4
    assert storage.objects == before
    remove(storage, found)
    assert storage.objects == {key: data for key, data in before.items() if key != ORPHAN}
    assert find_garbage(storage).parts == ()


def test_a_job_that_runs_is_left_alone() -> None:
    storage = store(JobState.RUNNING)
    storage.uploads.append(Unfinished(f"jobs/{GENERATE_JOB}/out/x", "1", time.time()))
    assert find_garbage(storage) == find_garbage(storage, GENERATE_JOB)
    assert find_garbage(storage) == Garbage((), ())


def test_one_job_can_be_cleaned_alone() -> None:
    storage = store(JobState.FAILED)
    put_status(storage, TRAIN_JOB, JobState.FAILED)
    assert find_garbage(storage, TRAIN_JOB).parts == ()
    assert find_garbage(storage, GENERATE_JOB).parts == ((ORPHAN, 4),)
    with pytest.raises(NotFoundError, match="job nobody: not in"):
        find_garbage(storage, "nobody")


def test_uploads_of_ended_jobs_and_old_ones_are_given_up() -> None:
    storage = store(JobState.FAILED)
    of_job = Unfinished(f"jobs/{GENERATE_JOB}/checkpoints/x", "1", time.time())
    old = Unfinished("datasets/tiles/x", "2", time.time() - 25 * 3600)
    young = Unfinished("datasets/tiles/y", "3", time.time() - 3600)
    storage.uploads += [of_job, old, young]
    assert find_garbage(storage, GENERATE_JOB).uploads == (of_job,)
    found = find_garbage(storage)
    assert set(found.uploads) == {of_job, old}
    remove(storage, found)
    assert storage.uploads == [young]
