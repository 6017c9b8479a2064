"""Going on with a job, and starting the same one anew."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from infra.cluster.ray_cluster import Capacity
from infra.errors import ClusterError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.operations.control import cancel
from jobs.operations.resume import resume_job, retry_job
from jobs.record.context import load_spec
from jobs.record.status import JobState, job_key, load_status
from jobs.spec.specs import GenerateSpec, TrainSpec, TuneSpec
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, FakeCluster, put_spec, put_status

RACERS = 8
TUNE_JOB = "tune-20260101-140000-ef56"


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "store")
    put_spec(storage, GENERATE_JOB, GenerateSpec(model=TRAIN_JOB, count=5))
    put_spec(storage, TRAIN_JOB, TrainSpec(dataset="tiles@abc", class_name="crack"))
    put_spec(storage, TUNE_JOB, TuneSpec(dataset="tiles@abc", class_name="crack"))
    return storage


@pytest.fixture
def settings(storage: LocalStorage) -> Settings:
    return Settings(store=storage.uri)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.LOST])
@pytest.mark.parametrize("job_id", [GENERATE_JOB, TRAIN_JOB])
def test_a_job_goes_on_under_its_id_by_another_name_for_the_cluster(
    storage: LocalStorage, settings: Settings, state: JobState, job_id: str
) -> None:
    put_status(storage, job_id, state, error="why")
    for name in ("cancel.json", "failure.txt", "commits/00000000.json"):
        storage.write(job_key(job_id, name), b"{}")
    cluster = FakeCluster()
    resumed = resume_job(job_id, settings, cluster)
    assert resumed.is_ours
    told = resumed.status
    assert told == load_status(storage, job_id)
    assert (told.state, told.attempt, told.error, told.finished_at) == (JobState.PENDING, 2, None, None)
    [(name, (entrypoint, _))] = cluster.jobs.items()
    assert name == f"{job_id}-2" == told.submission_id
    assert entrypoint.endswith(f"-m jobs.run {storage.uri}/jobs/{job_id}/spec.json")
    left = {entry.key for entry in storage.list(job_key(job_id, ""))}
    assert job_key(job_id, "commits/00000000.json") in left
    assert not {job_key(job_id, "cancel.json"), job_key(job_id, "failure.txt")} & left


def test_a_resumed_job_is_stopped_by_the_name_of_its_attempt(
    storage: LocalStorage, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FakeCluster()
    monkeypatch.setattr("jobs.operations.control.find", lambda url: cluster)
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    resume_job(GENERATE_JOB, settings, cluster)
    assert cancel(storage, GENERATE_JOB).state is JobState.CANCELLED
    assert cluster.states == {f"{GENERATE_JOB}-2": ("STOPPED", "")}


@pytest.mark.parametrize(
    ("job_id", "state", "message"),
    [
        (GENERATE_JOB, JobState.RUNNING, "is running; wait for it, or end it with `agan jobs cancel"),
        (GENERATE_JOB, JobState.SUCCEEDED, "has succeeded; see `agan results show"),
        (
            TUNE_JOB,
            JobState.FAILED,
            r"is a kind that cannot go on \(tune\); start it anew with `agan jobs retry",
        ),
    ],
)
def test_what_cannot_go_on_says_what_can_be_done(
    storage: LocalStorage, settings: Settings, job_id: str, state: JobState, message: str
) -> None:
    status = put_status(storage, job_id, state, heartbeat_at=9e9)
    with pytest.raises(UsageError, match=f"^job {job_id}: {message}"):
        resume_job(job_id, settings, FakeCluster())
    assert load_status(storage, job_id) == status


def test_of_calls_at_one_time_one_goes_on_and_the_others_tell_its_attempt(
    storage: LocalStorage, settings: Settings
) -> None:
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    cluster, together = FakeCluster(), Barrier(RACERS)

    class Together(FakeCluster):
        def capacity(self) -> Capacity:
            together.wait()
            return cluster.capacity()

        def submit(self, job_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
            cluster.submit(job_id, entrypoint, environment)

    with ThreadPoolExecutor(RACERS) as callers:
        told = list(callers.map(lambda _: resume_job(GENERATE_JOB, settings, Together()), range(RACERS)))
    assert [one.is_ours for one in told].count(True) == 1
    assert {one.status.attempt for one in told} == {2}
    assert list(cluster.jobs) == [f"{GENERATE_JOB}-2"]
    assert (load_status(storage, GENERATE_JOB).state, load_status(storage, GENERATE_JOB).error) == ("pending", None)
    later = resume_job(GENERATE_JOB, settings, cluster)
    assert (later.is_ours, later.status.attempt) == (False, 2)


def test_a_claim_of_a_caller_that_was_interrupted_does_not_hold_up_the_job_for_ever(
    storage: LocalStorage, settings: Settings
) -> None:
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    storage.write(job_key(GENERATE_JOB, "attempts/2.json"), json.dumps({"claimed_at": time.time() - 60}).encode())
    assert not resume_job(GENERATE_JOB, settings, FakeCluster()).is_ours
    storage.write(job_key(GENERATE_JOB, "attempts/2.json"), json.dumps({"claimed_at": time.time() - 600}).encode())
    resumed = resume_job(GENERATE_JOB, settings, FakeCluster())
    assert resumed.is_ours and resumed.status.attempt == 3


def test_a_generate_job_goes_on_with_the_workers_that_find_room_and_says_so(
    storage: LocalStorage, settings: Settings
) -> None:
    wide = GenerateSpec.model_validate({"model": TRAIN_JOB, "count": 5, "resources": {"workers": 3}})
    put_spec(storage, GENERATE_JOB, wide)
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    resumed = resume_job(GENERATE_JOB, settings, FakeCluster(cpus=2.0))
    assert resumed.hint == "hint: the cluster has room for 2 of 3 workers; the others begin when nodes join"
    put_status(storage, GENERATE_JOB, JobState.FAILED, attempt=2)
    assert resume_job(GENERATE_JOB, settings, FakeCluster(cpus=3.0)).hint is None


def test_resume_leaves_the_record_where_the_cluster_is_too_small(storage: LocalStorage, settings: Settings) -> None:
    status = put_status(storage, GENERATE_JOB, JobState.FAILED)
    with pytest.raises(ClusterError, match="the cluster has 0"):
        resume_job(GENERATE_JOB, settings, FakeCluster(cpus=0.0))
    assert load_status(storage, GENERATE_JOB) == status


def test_retry_is_a_new_job_of_the_same_spec(storage: LocalStorage, settings: Settings) -> None:
    put_status(storage, TUNE_JOB, JobState.FAILED)
    cluster = FakeCluster()
    again = retry_job(TUNE_JOB, settings, cluster)
    assert again != TUNE_JOB and again.startswith("tune-")
    assert load_spec(storage, again) == load_spec(storage, TUNE_JOB)
    assert list(cluster.jobs) == [again]
    assert load_status(storage, TUNE_JOB).state is JobState.FAILED


@pytest.mark.parametrize("act", [resume_job, retry_job])
def test_an_unknown_job_is_not_found(settings: Settings, act: object) -> None:
    assert callable(act)
    with pytest.raises(NotFoundError, match="nobody"):
        act("nobody", settings, FakeCluster())
