import json
import re
from pathlib import Path

import pytest

from infra.storage.local import LocalStorage
from jobs.record.status import JobProgress, JobState, job_key
from jobs.spec.specs import GenerateSpec
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, FakeCluster, put_results, put_spec, put_status
from tests.support.helpers import run_cli

CODES = {JobState.SUCCEEDED: 0, JobState.FAILED: 1, JobState.CANCELLED: 4, JobState.LOST: 5}
LOG = f"jobs/{TRAIN_JOB}/logs/000001.log"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """The store that the environment names."""
    storage = LocalStorage(tmp_path / "store")
    monkeypatch.setenv("AGAN_STORE", storage.uri)
    return storage


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster()
    monkeypatch.setattr("jobs.operations.control.find", lambda url: cluster)
    return cluster


def put_progress(storage: LocalStorage) -> None:
    progress = JobProgress(
        phase="training",
        done=30,
        total=120,
        unit="steps",
        images_per_sec=12.34,
        eta_sec=59.6,
        values={"g_adv": 0.123456},
        updated_at=0.0,
    )
    storage.write(f"jobs/{TRAIN_JOB}/progress.json", progress.model_dump_json().encode())


def test_list_is_a_table_newest_first(storage: LocalStorage) -> None:
    assert run_cli(["jobs", "list"]).stdout == "no jobs in this store\n"
    put_status(storage, TRAIN_JOB, JobState.SUCCEEDED)
    put_status(storage, GENERATE_JOB, JobState.FAILED, submitted_at=2000.0)
    assert run_cli(["jobs", "list"]).stdout.splitlines() == [
        "job                            state      time   what",
        f"{GENERATE_JOB}  failed     1m15s  a title",
        f"{TRAIN_JOB}     succeeded  1m15s  a title",
    ]
    told = json.loads(run_cli(["jobs", "list", "--json"]).stdout)
    assert [(one["job_id"], one["state"]) for one in told] == [(GENERATE_JOB, "failed"), (TRAIN_JOB, "succeeded")]


def test_status_tells_state_progress_speed_and_losses(storage: LocalStorage) -> None:
    put_status(storage)
    put_progress(storage)
    first, *rest = run_cli(["jobs", "status", TRAIN_JOB]).stdout.splitlines()
    assert re.fullmatch(rf"{TRAIN_JOB}  running  \d+m\d\ds  a title", first)
    assert rest == ["training: 30/120 steps (25 %, 60 s left)", "12.3 images/s", "  g_adv                0.1235"]
    told = json.loads(run_cli(["jobs", "status", TRAIN_JOB, "--json"]).stdout)
    assert (told["state"], told["progress"]["done"], told["progress"]["values"]) == ("running", 30, {"g_adv": 0.123456})


def test_status_of_a_failed_job_tells_the_error(storage: LocalStorage) -> None:
    put_status(storage, state=JobState.FAILED, error="loss is nan")
    assert run_cli(["jobs", "status", TRAIN_JOB]).stdout.splitlines() == [
        f"{TRAIN_JOB}  failed  1m15s  a title",
        "error: loss is nan",
    ]
    assert json.loads(run_cli(["jobs", "status", TRAIN_JOB, "--json"]).stdout)["progress"] is None


def test_status_of_a_silent_job_whose_cluster_is_gone_is_lost(storage: LocalStorage, cluster: FakeCluster) -> None:
    put_status(storage, heartbeat_at=1000.0)
    cluster.refuses = "cluster x: not reachable"
    assert "  lost  " in run_cli(["jobs", "status", TRAIN_JOB]).stdout


def test_logs_are_printed_as_they_are(storage: LocalStorage) -> None:
    put_status(storage)
    assert run_cli(["jobs", "logs", TRAIN_JOB]).stdout == ""
    storage.write(LOG, b"one\ntwo")
    assert run_cli(["jobs", "logs", TRAIN_JOB]).stdout == "one\ntwo"
    assert json.loads(run_cli(["jobs", "logs", TRAIN_JOB, "--json"]).stdout) == {
        "job_id": TRAIN_JOB,
        "state": "running",
        "log": "one\ntwo",
    }


@pytest.mark.parametrize(("state", "code"), CODES.items())
def test_wait_and_follow_end_with_the_code_of_the_recorded_state(
    storage: LocalStorage, state: JobState, code: int
) -> None:
    put_status(storage, state=state, error="why" if code else None)
    storage.write(LOG, b"one\n")
    last = f"{TRAIN_JOB}: {state}" + (": why" if code else "")
    waited = run_cli(["jobs", "wait", TRAIN_JOB], exit_code=code)
    assert waited.stdout == "" and waited.stderr.splitlines()[-1] == last
    followed = run_cli(["jobs", "logs", "-f", TRAIN_JOB], exit_code=code)
    assert followed.stdout == "one\n" and followed.stderr.splitlines()[-1] == last
    told = json.loads(run_cli(["jobs", "wait", TRAIN_JOB, "--json"], exit_code=code).stdout)
    assert (told["state"], told["error"]) == (state.value, "why" if code else None)
    told = json.loads(run_cli(["jobs", "logs", "-f", TRAIN_JOB, "--json"], exit_code=code).stdout)
    assert (told["state"], told["log"]) == (state.value, "one\n")


def test_wait_shows_progress_on_stderr(storage: LocalStorage) -> None:
    put_status(storage, state=JobState.SUCCEEDED)
    put_progress(storage)
    assert f"{TRAIN_JOB}: training: 30/120" in run_cli(["jobs", "wait", TRAIN_JOB]).stderr


def test_cancel_ends_the_job_and_tells_its_state(storage: LocalStorage, cluster: FakeCluster) -> None:
    put_status(storage)
    assert run_cli(["jobs", "cancel", TRAIN_JOB]).stdout == f"{TRAIN_JOB}: cancelled\n"
    assert cluster.states[TRAIN_JOB] == ("STOPPED", "")
    assert run_cli(["jobs", "wait", TRAIN_JOB], exit_code=4).stderr == f"{TRAIN_JOB}: cancelled\n"


def test_cancel_of_an_ended_job_changes_nothing(storage: LocalStorage, cluster: FakeCluster) -> None:
    put_status(storage, state=JobState.SUCCEEDED)
    told = json.loads(run_cli(["jobs", "cancel", TRAIN_JOB, "--json"]).stdout)
    assert told["state"] == "succeeded" and cluster.states == {}


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("command", [["status"], ["logs"], ["logs", "-f"], ["wait"], ["cancel"]], ids=" ".join)
def test_a_job_that_is_not_there_ends_with_exit_3_and_one_sentence(command: list[str]) -> None:
    result = run_cli(["jobs", *command, "gone"], exit_code=3)
    assert re.fullmatch(r"error: job gone: not in \S+; see `agan jobs list`\n", result.stderr)
    assert result.stdout == ""


# --- going on, starting anew, cleaning up


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster()
    monkeypatch.setattr("infra.cluster.ray_cluster.connect", lambda settings: cluster)
    return cluster


def test_resume_goes_on_and_retry_starts_anew(storage: LocalStorage, connected: FakeCluster) -> None:
    put_spec(storage, GENERATE_JOB, GenerateSpec(model=TRAIN_JOB))
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    assert run_cli(["jobs", "resume", GENERATE_JOB]).stdout.splitlines() == [
        f"{GENERATE_JOB}: attempt 2",
        f"watch:  agan jobs logs -f {GENERATE_JOB}",
    ]
    again = run_cli(["jobs", "resume", GENERATE_JOB])
    assert again.stdout.startswith(f"{GENERATE_JOB}: is being resumed already as attempt 2\n")
    told = json.loads(run_cli(["jobs", "retry", GENERATE_JOB, "--json"]).stdout)
    assert told["retry_of"] == GENERATE_JOB
    assert list(connected.jobs) == [f"{GENERATE_JOB}-2", told["job_id"]]


def test_gc_tells_what_it_would_remove_and_removes_it(storage: LocalStorage) -> None:
    put_results(storage, GENERATE_JOB)
    put_status(storage, TRAIN_JOB, JobState.FAILED)
    storage.write(job_key("train-broken", "status.json"), b"{}")
    orphan = f"jobs/{GENERATE_JOB}/out/parts/part-00000001-dead.tar"
    storage.write(orphan, bytes(2**20))
    told = "1 objects of 1.0 MiB, 0 open uploads\n"
    assert run_cli(["jobs", "gc", "--dry-run"]).stdout == f"would remove {told}"
    assert storage.exists(orphan)
    assert json.loads(run_cli(["jobs", "gc", GENERATE_JOB, "--json"]).stdout) == {
        "removed": True,
        "objects": [orphan],
        "size_bytes": 2**20,
        "uploads": [],
    }
    assert not storage.exists(orphan)
    last = run_cli(["jobs", "gc"])
    assert last.stdout == "removed 0 objects of 0.0 MiB, 0 open uploads\n"
    assert last.stderr.startswith("warning: left alone: job train-broken: status.json is broken")
    run_cli(["jobs", "gc", "nobody"], 3)
