import threading
from typing import Any

import pytest

import jobs.operations.control
from infra.errors import ClusterError, NotFoundError
from jobs.operations.control import cancel, current_status, follow
from jobs.record.status import JobState, JobStatus, load_status, save_status
from tests.support.builders_jobs import CLUSTER_URL, TRAIN_JOB, FakeCluster, put_status
from tests.support.helpers import MemoryStorage

CANCEL_KEY = f"jobs/{TRAIN_JOB}/cancel.json"


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """The cluster that every record names."""
    cluster = FakeCluster()

    def find(url: str | None) -> FakeCluster | None:
        assert url in (None, CLUSTER_URL)
        return cluster if url is not None else None

    monkeypatch.setattr(jobs.operations.control, "find", find)
    monkeypatch.setattr(jobs.operations.control, "POLL_SEC", 0.01)
    monkeypatch.setattr(jobs.operations.control, "CANCEL_TIMEOUT_SEC", 0.2)
    return cluster


def silent(storage: MemoryStorage, **changes: Any) -> JobStatus:
    return put_status(storage, heartbeat_at=1000.0, **changes)


# --- the record, and who is asked when it is silent


@pytest.mark.usefixtures("cluster")
def test_a_job_that_was_heard_of_is_what_its_record_says(storage: MemoryStorage) -> None:
    status = put_status(storage)
    assert current_status(storage, TRAIN_JOB) == status


@pytest.mark.parametrize("word", ["PENDING", "RUNNING"])
def test_a_silent_job_that_the_cluster_still_has_is_left_alone(
    storage: MemoryStorage, cluster: FakeCluster, word: str
) -> None:
    status = silent(storage)
    cluster.states[TRAIN_JOB] = (word, "")
    assert current_status(storage, TRAIN_JOB) == status == load_status(storage, TRAIN_JOB)


@pytest.mark.parametrize(
    ("word", "message", "error"),
    [
        ("FAILED", "out of memory\n", "out of memory"),
        ("STOPPED", "", "the cluster says stopped"),
        ("SUCCEEDED", "", "the cluster says succeeded"),
    ],
)
def test_a_silent_job_that_has_ended_has_failed(
    storage: MemoryStorage, cluster: FakeCluster, word: str, message: str, error: str
) -> None:
    silent(storage)
    cluster.states[TRAIN_JOB] = (word, message)
    status = current_status(storage, TRAIN_JOB)
    assert (status.state, status.error) == (JobState.FAILED, error)
    assert load_status(storage, TRAIN_JOB) == status and status.finished_at is not None


@pytest.mark.parametrize(
    ("refuses", "why"), [(None, "its cluster knows it no longer"), ("not reachable", "not reachable")]
)
def test_a_silent_job_that_nobody_knows_is_lost(
    storage: MemoryStorage, cluster: FakeCluster, refuses: str | None, why: str
) -> None:
    silent(storage)
    cluster.refuses = refuses
    status = current_status(storage, TRAIN_JOB)
    assert status.state is JobState.LOST
    assert status.error is not None and status.error.startswith("silent for ")
    assert status.error.endswith(f" s and {why}; submit it again")


@pytest.mark.usefixtures("cluster")
def test_a_silent_job_without_cluster_is_lost(storage: MemoryStorage) -> None:
    silent(storage, cluster=None)
    assert current_status(storage, TRAIN_JOB).state is JobState.LOST


@pytest.mark.usefixtures("cluster")
def test_a_silent_job_whose_end_was_asked_for_is_cancelled(storage: MemoryStorage) -> None:
    silent(storage)
    storage.write(CANCEL_KEY, b"{}")
    assert current_status(storage, TRAIN_JOB).state is JobState.CANCELLED


@pytest.mark.parametrize("state", [state for state in JobState if state.is_final])
def test_an_ended_job_is_never_asked_after(storage: MemoryStorage, cluster: FakeCluster, state: JobState) -> None:
    status = silent(storage, state=state)
    cluster.states[TRAIN_JOB] = ("FAILED", "x")
    assert current_status(storage, TRAIN_JOB) == status


def test_a_job_that_speaks_while_it_is_asked_after_is_not_lost(storage: MemoryStorage) -> None:
    status = silent(storage)

    class Slow(FakeCluster):
        def job_state(self, job_id: str) -> tuple[str, str]:
            save_status(storage, status.changed())
            return "UNKNOWN", ""

    assert current_status(storage, TRAIN_JOB, Slow()).state is JobState.RUNNING


# --- follow


def write_log(storage: MemoryStorage, number: int, text: str) -> None:
    storage.write(f"jobs/{TRAIN_JOB}/logs/{number:06d}.log", text.encode())


@pytest.mark.usefixtures("cluster")
def test_follow_tells_each_piece_of_the_log_once_until_the_end(storage: MemoryStorage) -> None:
    status = put_status(storage)
    write_log(storage, 1, "one\n")
    seen = follow(storage, TRAIN_JOB)
    assert next(seen).log == "one\n"
    assert next(seen).log == ""
    write_log(storage, 2, "two\n")
    write_log(storage, 3, "three\n")
    save_status(storage, status.finished(JobState.SUCCEEDED))
    (last,) = seen
    assert last.log == "two\nthree\n" and last.status.state is JobState.SUCCEEDED and last.progress is None


@pytest.mark.usefixtures("cluster")
def test_follow_ends_when_a_job_is_lost(storage: MemoryStorage) -> None:
    silent(storage)
    assert [seen.status.state for seen in follow(storage, TRAIN_JOB)] == [JobState.LOST]


def test_follow_of_no_job_is_not_found(storage: MemoryStorage) -> None:
    with pytest.raises(NotFoundError):
        next(follow(storage, "gone"))


# --- cancel


def test_cancel_asks_in_the_store_stops_the_job_and_takes_the_supervisors_word(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster
) -> None:
    status = put_status(storage)

    def stop(job_id: str) -> None:
        assert CANCEL_KEY in storage.objects
        save_status(storage, status.finished(JobState.CANCELLED))

    monkeypatch.setattr(cluster, "stop", stop)
    assert cancel(storage, TRAIN_JOB).state is JobState.CANCELLED


def test_cancel_records_the_end_of_a_job_that_never_started(storage: MemoryStorage, cluster: FakeCluster) -> None:
    put_status(storage, state=JobState.PENDING)
    assert cancel(storage, TRAIN_JOB).state is JobState.CANCELLED
    assert cluster.states[TRAIN_JOB] == ("STOPPED", "")
    assert load_status(storage, TRAIN_JOB).state is JobState.CANCELLED


@pytest.mark.parametrize("state", [state for state in JobState if state.is_final])
def test_cancel_leaves_an_ended_job_as_it_is(storage: MemoryStorage, cluster: FakeCluster, state: JobState) -> None:
    status = put_status(storage, state=state)
    before = dict(storage.objects)
    assert cancel(storage, TRAIN_JOB) == status
    assert storage.objects == before and cluster.states == {}


def test_cancel_does_not_guess_where_the_cluster_cannot_be_reached(
    storage: MemoryStorage, cluster: FakeCluster
) -> None:
    status = put_status(storage)
    cluster.refuses = "not reachable"
    with pytest.raises(ClusterError, match="not reachable"):
        cancel(storage, TRAIN_JOB)
    assert load_status(storage, TRAIN_JOB) == status


@pytest.mark.usefixtures("cluster")
def test_cancel_of_a_job_without_cluster_says_so(storage: MemoryStorage) -> None:
    put_status(storage, cluster=None)
    with pytest.raises(ClusterError, match=f"job {TRAIN_JOB}: its record names no cluster"):
        cancel(storage, TRAIN_JOB)


def test_cancel_gives_up_waiting_for_a_job_that_does_not_end(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster
) -> None:
    put_status(storage)
    monkeypatch.setattr(cluster, "stop", lambda job_id: cluster.states.update({job_id: ("RUNNING", "")}))
    assert cancel(storage, TRAIN_JOB).state is JobState.RUNNING


def test_cancel_waits_for_the_supervisor_to_record_the_end(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster
) -> None:
    status = put_status(storage)
    monkeypatch.setattr(jobs.operations.control, "CANCEL_TIMEOUT_SEC", 10)
    monkeypatch.setattr(cluster, "stop", lambda job_id: cluster.states.update({job_id: ("RUNNING", "")}))
    end = threading.Timer(0.1, lambda: save_status(storage, status.finished(JobState.SUCCEEDED)))
    end.start()
    assert cancel(storage, TRAIN_JOB).state is JobState.SUCCEEDED
    end.join()


def test_cancel_of_no_job_is_not_found(storage: MemoryStorage) -> None:
    with pytest.raises(NotFoundError):
        cancel(storage, "gone")
    assert storage.objects == {}
