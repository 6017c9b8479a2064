"""What no reader sees is found and removed; what somebody may still need is not."""

import time

import pytest

from infra.errors import DataError, NotFoundError
from infra.storage.protocol import Unfinished
from jobs.operations.garbage import ATTEMPT_AGE_SEC, Garbage, find_garbage, remove
from jobs.record.manifest import Output, OutputWriter
from jobs.record.status import JobState
from jobs.tasks.commits import commit
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_status
from tests.support.helpers import MemoryStorage

ORPHAN = f"jobs/{GENERATE_JOB}/out/parts/part-00000001-dead.tar"


def store(state: JobState) -> MemoryStorage:
    """A generate job with a committed part and an orphan."""
    storage = MemoryStorage()
    put_status(storage, GENERATE_JOB, state, heartbeat_at=time.time())
    made = commit(storage, GENERATE_JOB, 0, b"made", 1, {})
    if state is JobState.SUCCEEDED:
        outputs = OutputWriter(storage, GENERATE_JOB)
        outputs.add(Output(name="shards/0.tar", size_bytes=4, sha256=made.sha256, stored=made.part))
        outputs.commit()
    storage.write(ORPHAN, b"half")
    return storage


def age(storage: MemoryStorage, seconds: float = 2 * ATTEMPT_AGE_SEC) -> None:
    """Make all that is stored so old."""
    storage.modified = dict.fromkeys(storage.objects, time.time() - seconds)


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST])
def test_parts_that_no_commit_names_are_removed(state: JobState) -> None:
    storage = store(state)
    age(storage)
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
    age(storage)
    put_status(storage, TRAIN_JOB, JobState.FAILED)
    assert find_garbage(storage, TRAIN_JOB).parts == ()
    assert find_garbage(storage, GENERATE_JOB).parts == ((ORPHAN, 4),)
    with pytest.raises(NotFoundError, match="job nobody: not in"):
        find_garbage(storage, "nobody")


def test_uploads_of_ended_jobs_and_old_ones_are_given_up() -> None:
    storage = store(JobState.FAILED)
    of_job = Unfinished(f"jobs/{GENERATE_JOB}/checkpoints/x", "1", time.time() - 2 * ATTEMPT_AGE_SEC)
    of_attempt = Unfinished(f"jobs/{GENERATE_JOB}/checkpoints/y", "4", time.time())
    old = Unfinished("datasets/tiles/x", "2", time.time() - 25 * 3600)
    young = Unfinished("datasets/tiles/y", "3", time.time() - 3600)
    storage.uploads += [of_job, of_attempt, old, young]
    assert find_garbage(storage, GENERATE_JOB).uploads == (of_job,)
    found = find_garbage(storage)
    assert set(found.uploads) == {of_job, old}
    remove(storage, found)
    assert storage.uploads == [of_attempt, young]


def test_of_a_job_that_has_published_what_is_young_goes_too() -> None:
    storage = store(JobState.SUCCEEDED)
    upload = Unfinished(f"jobs/{GENERATE_JOB}/out/x", "1", time.time())
    storage.uploads.append(upload)
    assert find_garbage(storage) == Garbage(((ORPHAN, 4),), (upload,))


def test_of_a_job_that_has_not_published_what_is_young_stays() -> None:
    storage = store(JobState.LOST)
    storage.uploads.append(Unfinished(f"jobs/{GENERATE_JOB}/out/x", "1", time.time()))
    assert find_garbage(storage) == Garbage((), ())


def test_a_job_that_is_resumed_after_the_search_keeps_everything() -> None:
    storage = store(JobState.FAILED)
    age(storage)
    storage.uploads.append(Unfinished(f"jobs/{GENERATE_JOB}/out/x", "1", 0.0))
    found = find_garbage(storage)
    put_status(storage, GENERATE_JOB, JobState.PENDING)
    remove(storage, found)
    assert ORPHAN in storage.objects and len(storage.uploads) == 1


def test_a_part_that_is_about_to_be_committed_stays_though_the_job_has_ended() -> None:
    """The driver was killed, or is taken for lost; its actor still works."""

    class Interrupted(MemoryStorage):
        def create(self, key: str, data: bytes) -> bool:
            remove(self, find_garbage(self))
            return super().create(key, data)

    storage = Interrupted()
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    made = commit(storage, GENERATE_JOB, 0, b"made", 1, {})
    assert storage.read(f"jobs/{GENERATE_JOB}/{made.part}") == b"made"


def test_a_damaged_record_of_one_job_is_told_and_the_others_are_cleaned() -> None:
    storage = store(JobState.FAILED)
    put_status(storage, "generate-broken", JobState.FAILED)
    commit(storage, "generate-broken", 0, b"made", 1, {})
    storage.write("jobs/generate-broken/commits/00000000.json", b"{}")
    storage.write("jobs/train-broken/status.json", b"{}")
    age(storage)
    found = find_garbage(storage)
    assert found.parts == ((ORPHAN, 4),)
    assert [told.partition(";")[0].partition("(")[0] for told in found.warnings] == [
        "job generate-broken: commits/00000000.json is damaged",
        "job train-broken: status.json is broken ",
    ]
    with pytest.raises(DataError, match="is damaged; make it anew with `agan jobs retry generate-broken`"):
        find_garbage(storage, "generate-broken")
