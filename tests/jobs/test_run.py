"""The supervisor over real child processes, with short Python texts in the work's place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs.run
import jobs.work
from infra.cluster.processes import is_alive, mark
from infra.errors import DataError, StorageError, UsageError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.record.context import JobContext
from jobs.record.status import JobState, JobStatus, load_status, read_logs
from jobs.run import LogMirror, Supervisor, parse_spec_uri
from jobs.spec.specs import GenerateSpec
from tests.support.builders_jobs import TRAIN_JOB, put_spec, put_status
from tests.support.helpers import ROOT, MemoryStorage

WAIT_SEC = 20.0

SUPERVISE = """
import sys
from pathlib import Path
import jobs.run
from infra.storage.local import LocalStorage
jobs.run.LOG_FLUSH_SEC = 0.05
store, job_id, code = sys.argv[1:]
sys.exit(jobs.run.Supervisor(LocalStorage(Path(store)), job_id, [sys.executable, "-u", "-c", code]).run())
"""


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short pauses; signal handlers as they were before."""
    monkeypatch.setattr(jobs.run, "LOG_FLUSH_SEC", 0.05)
    monkeypatch.setattr(jobs.run, "HEARTBEAT_SEC", 0.05)
    monkeypatch.setattr(jobs.run, "FINAL_PAUSES_SEC", (0.01, 0.01))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def supervise(storage: LocalStorage | MemoryStorage, code: str) -> tuple[int, JobStatus]:
    """Run the text as the work of a pending job; (exit code, recorded status)."""
    put_status(storage, state=JobState.PENDING, started_at=None, cluster="http://head")
    exit_code = Supervisor(storage, TRAIN_JOB, [sys.executable, "-u", "-c", code]).run()
    return exit_code, load_status(storage, TRAIN_JOB)


def logged(storage: LocalStorage | MemoryStorage) -> str:
    return read_logs(storage, TRAIN_JOB)[0]


# --- how it ends


def test_work_that_ends_well_has_succeeded(storage: LocalStorage, capfd: pytest.CaptureFixture[str]) -> None:
    exit_code, status = supervise(storage, "import sys; print('out'); print('err', file=sys.stderr)")
    assert exit_code == 0
    assert (status.state, status.error, status.cluster) == (JobState.SUCCEEDED, None, "http://head")
    assert status.started_at is not None and status.finished_at is not None
    assert logged(storage) == "out\nerr\n"
    assert "out\nerr\n" in capfd.readouterr().out


def test_work_that_fails_leaves_its_own_sentence(storage: LocalStorage) -> None:
    code = "import os, sys; open(os.environ['AGAN_ERROR_FILE'], 'w').write('tiles: no class; add one'); sys.exit(6)"
    exit_code, status = supervise(storage, code)
    assert exit_code == 1
    assert (status.state, status.error) == (JobState.FAILED, "tiles: no class; add one")


def test_work_that_fails_without_a_word_points_at_the_log(storage: LocalStorage) -> None:
    _, status = supervise(storage, "raise RuntimeError('a bug')")
    assert (status.state, status.error) == (
        JobState.FAILED,
        f"the work ended with code 1; see `agan jobs logs {TRAIN_JOB}`",
    )
    assert "RuntimeError: a bug" in logged(storage)


def test_work_that_is_killed_has_failed_by_that_signal(storage: LocalStorage) -> None:
    exit_code, status = supervise(storage, "import os; print('on the way'); os.kill(os.getpid(), 9)")
    assert exit_code == 1
    assert status.state is JobState.FAILED
    assert status.error == f"the work ended by SIGKILL; see `agan jobs logs {TRAIN_JOB}`"
    assert logged(storage) == "on the way\n"


@pytest.mark.parametrize("asked_to_end", [True, False])
def test_a_stopped_supervisor_ends_the_work_and_records_why(storage: LocalStorage, asked_to_end: bool) -> None:
    put_status(storage, state=JobState.PENDING)
    code = "import os, time; print(os.getpid()); time.sleep(60)"
    command = [sys.executable, "-c", SUPERVISE, str(storage.root), TRAIN_JOB, code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as supervisor:
        child = mark(int(wait_for_log(storage)))
        assert child is not None and load_status(storage, TRAIN_JOB).state is JobState.RUNNING
        if asked_to_end:
            storage.write(f"jobs/{TRAIN_JOB}/cancel.json", b"{}")
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(WAIT_SEC) == 1
    status = load_status(storage, TRAIN_JOB)
    expected = (JobState.CANCELLED, None) if asked_to_end else (JobState.FAILED, "stopped by SIGTERM from outside")
    assert (status.state, status.error) == expected
    assert not is_alive(child)


def wait_for_log(storage: LocalStorage) -> str:
    deadline = time.monotonic() + WAIT_SEC
    while not logged(storage) and time.monotonic() < deadline:
        time.sleep(0.02)
    return logged(storage)


def test_work_that_was_done_when_the_end_was_asked_for_has_succeeded(storage: LocalStorage) -> None:
    storage.write(f"jobs/{TRAIN_JOB}/cancel.json", b"{}")
    code = f"import os, signal; os.kill({os.getpid()}, signal.SIGTERM)"

    class Late(Supervisor):
        """Hears of the signal after the child has ended."""

        def _on_signal(self, number: int, frame: object) -> None:
            assert self.child is not None
            self.child.wait()
            super()._on_signal(number, None)

    put_status(storage, state=JobState.PENDING)
    assert Late(storage, TRAIN_JOB, [sys.executable, "-c", code]).run() == 0
    assert load_status(storage, TRAIN_JOB).state is JobState.SUCCEEDED


@pytest.mark.parametrize("code", ["import time; print('one', flush=True); time.sleep(60)", "print('one')"])
def test_a_supervisor_leaves_the_record_to_a_newer_attempt(storage: LocalStorage, code: str) -> None:
    """The job was taken for lost and resumed, while this supervisor only could not reach the store."""
    put_status(storage, state=JobState.PENDING)

    class Superseded(Supervisor):
        def _supervise(self, status: JobStatus, error_file: Path) -> int:
            self.newer = put_status(storage, state=JobState.RUNNING, attempt=2)
            return super()._supervise(status, error_file)

    supervisor = Superseded(storage, TRAIN_JOB, [sys.executable, "-c", code])
    assert supervisor.run() == 1
    assert supervisor.is_superseded and load_status(storage, TRAIN_JOB) == supervisor.newer


def test_a_supervisor_of_an_old_attempt_does_not_even_begin(storage: LocalStorage) -> None:
    newer = put_status(storage, state=JobState.PENDING, attempt=3)
    assert Supervisor(storage, TRAIN_JOB, [sys.executable, "-c", "print('one')"], attempt=2).run() == 1
    assert load_status(storage, TRAIN_JOB) == newer and logged(storage) == ""


def test_a_supervisor_records_its_own_attempt(storage: LocalStorage) -> None:
    put_status(storage, state=JobState.RUNNING, attempt=1)  # what an old supervisor wrote just now
    assert Supervisor(storage, TRAIN_JOB, [sys.executable, "-c", "pass"], attempt=2).run() == 0
    assert (load_status(storage, TRAIN_JOB).attempt, load_status(storage, TRAIN_JOB).state) == (2, JobState.SUCCEEDED)


# --- while it runs


def test_the_log_is_mirrored_in_pieces_and_the_heart_beats(storage: LocalStorage) -> None:
    code = f"""
import json, pathlib, sys, time
job = pathlib.Path({str(storage.root)!r}) / "jobs" / {TRAIN_JOB!r}
def until(condition):
    deadline = time.monotonic() + {WAIT_SEC}
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited too long")
        time.sleep(0.02)
def status():
    return json.loads((job / "status.json").read_text())
print("one")
until((job / "logs/000001.log").exists)
print("two")
until((job / "logs/000002.log").exists)
first = status()
assert first["state"] == "running"
until(lambda: status()["heartbeat_at"] > first["heartbeat_at"])
"""
    assert supervise(storage, code)[0] == 0, logged(storage)
    assert storage.read(f"jobs/{TRAIN_JOB}/logs/000001.log") == b"one\n"
    assert read_logs(storage, TRAIN_JOB) == ("one\ntwo\n", 2)


def test_a_piece_of_the_log_holds_whole_lines_except_the_last() -> None:
    storage = MemoryStorage()
    logs = LogMirror(storage, "j")
    letter = "ä".encode()
    logs.add(b"one\ntw" + letter[:1])
    logs.flush()
    logs.flush()
    logs.add(letter[1:])
    logs.flush()
    logs.add(b"\nthree")
    logs.flush()
    logs.flush(last=True)
    logs.flush(last=True)
    assert list(storage.objects.values()) == [b"one\n", "twä\n".encode(), b"three"]
    assert read_logs(storage, "j")[0] == "one\ntwä\nthree"


def test_a_supervisor_that_starts_again_goes_on_with_the_log() -> None:
    storage = MemoryStorage()
    for text in (b"one\n", b"two\n"):
        logs = LogMirror(storage, "j")
        logs.add(text)
        logs.flush()
    assert sorted(storage.objects) == ["jobs/j/logs/000001.log", "jobs/j/logs/000002.log"]


class AwayStorage(MemoryStorage):
    """Refuses so many writes, once the job runs."""

    def __init__(self, away: int, begin: str) -> None:
        super().__init__()
        self.away = away
        self.begin = begin

    def write(self, key: str, data: bytes) -> None:
        if self.away and (self.begin in key or b'"succeeded"' in data):
            self.away -= 1
            raise StorageError("the store is away")
        super().write(key, data)


@pytest.mark.parametrize("begin", ["logs/", "nothing"])
def test_a_store_that_is_away_for_a_while_does_not_end_the_work(begin: str, capsys: pytest.CaptureFixture[str]) -> None:
    storage = AwayStorage(away=2, begin=begin)
    exit_code, status = supervise(storage, "import time; print('one'); time.sleep(0.3); print('two')")
    assert (exit_code, status.state) == (0, JobState.SUCCEEDED)
    assert storage.away == 0 and logged(storage) == "one\ntwo\n"
    assert "warning: the record is late: the store is away" in capsys.readouterr().err


def test_a_store_that_stays_away_at_the_end_is_an_error() -> None:
    with pytest.raises(StorageError, match="away"):
        supervise(AwayStorage(away=1000, begin="nothing"), "pass")


# --- where it starts


def test_the_uri_of_a_spec_names_store_and_job() -> None:
    assert parse_spec_uri("s3://b/p/jobs/train-1/spec.json") == ("s3://b/p", "train-1")
    assert parse_spec_uri("/my/jobs/store/jobs/train-1/spec.json") == ("/my/jobs/store", "train-1")


@pytest.mark.parametrize("uri", ["", "spec.json", "s3://b/jobs/x", "/jobs/x/spec.json", "/s/jobs//spec.json"])
def test_a_uri_that_names_no_spec_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"is not STORE/jobs/ID/spec\.json"):
        parse_spec_uri(uri)


def test_without_a_command_the_work_is_jobs_work() -> None:
    command = Supervisor(MemoryStorage(), "train-1").command
    assert list(command) == [sys.executable, "-u", "-m", "jobs.work", "train-1"]


def test_an_expected_error_of_the_work_is_left_as_one_sentence(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_spec(storage, TRAIN_JOB, GenerateSpec(model="m"))
    done: list[JobContext[GenerateSpec]] = []

    def work(context: JobContext[GenerateSpec]) -> None:
        done.append(context)
        raise DataError("shard 3: is broken; import it again")

    monkeypatch.setattr(jobs.work, "work", work)
    monkeypatch.setattr(jobs.work, "load_settings", lambda: Settings(store=storage.uri))
    monkeypatch.setenv("AGAN_ERROR_FILE", str(tmp_path / "error"))
    assert jobs.work.main(TRAIN_JOB) == 6
    assert (tmp_path / "error").read_text() == "shard 3: is broken; import it again"
    assert capsys.readouterr().err == "error: shard 3: is broken; import it again\n"
    assert (done[0].job_id, done[0].spec) == (TRAIN_JOB, GenerateSpec(model="m"))
