import re
import time

import pytest

from infra.errors import DataError, NotFoundError, UsageError
from jobs.record.status import (
    EXIT_CODES,
    JobProgress,
    JobState,
    job_key,
    list_statuses,
    load_progress,
    load_status,
    new_job_id,
    read_logs,
    save_status,
)
from tests.support.builders_jobs import TRAIN_JOB, put_status
from tests.support.helpers import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_a_job_id_holds_kind_and_time_and_is_new() -> None:
    ids = {new_job_id("train") for _ in range(20)}
    assert len(ids) > 1
    assert all(re.fullmatch(r"train-\d{8}-\d{6}-[0-9a-f]{4}", one) for one in ids)


def test_a_status_saved_and_loaded_is_the_same(storage: MemoryStorage) -> None:
    status = put_status(storage)
    assert load_status(storage, TRAIN_JOB) == status


def test_a_change_is_a_heartbeat_and_an_end_has_its_time(storage: MemoryStorage) -> None:
    status = put_status(storage, heartbeat_at=1000.0)
    assert status.seconds_silent() > 1e6
    changed = status.changed(error="x")
    assert changed.seconds_silent() < 60 and changed.error == "x" and status.error is None
    done = status.finished(JobState.FAILED, "why")
    assert done.finished_at == pytest.approx(time.time(), abs=60)
    assert (done.state, done.error) == (JobState.FAILED, "why")


def test_every_final_state_has_an_exit_code_of_its_own() -> None:
    assert {state.value: int(code) for state, code in EXIT_CODES.items()} == {
        "succeeded": 0,
        "failed": 1,
        "cancelled": 4,
        "lost": 5,
    }
    assert {state for state in JobState if state.is_final} == set(EXIT_CODES)


def test_a_job_that_is_not_there_is_not_found_with_a_hint(storage: MemoryStorage) -> None:
    with pytest.raises(NotFoundError, match=r"job gone: not in memory://store; see `agan jobs list`"):
        load_status(storage, "gone")


def test_an_id_that_would_leave_the_store_is_refused(storage: MemoryStorage) -> None:
    with pytest.raises(UsageError):
        load_status(storage, "../datasets/tiles")


@pytest.mark.parametrize("data", [b"", b"{}", b'{"state": "odd"}'])
def test_a_broken_record_is_named(storage: MemoryStorage, data: bytes) -> None:
    storage.write(job_key("j", "status.json"), data)
    with pytest.raises(DataError, match=r"job j: status\.json is broken"):
        load_status(storage, "j")


def test_jobs_are_listed_newest_first(storage: MemoryStorage) -> None:
    for number, job_id in enumerate(["train-b", "train-a", "generate-c"]):
        put_status(storage, job_id, submitted_at=float(number))
    storage.write("jobs/half/spec.json", b"{}")
    assert [status.job_id for status in list_statuses(storage)] == ["generate-c", "train-a", "train-b"]


def test_logs_are_read_in_order_and_from_where_one_stopped(storage: MemoryStorage) -> None:
    assert read_logs(storage, "j") == ("", 0)
    for number, text in [(2, "two\n"), (10, "ten\n"), (1, "one ä\n")]:
        storage.write(job_key("j", f"logs/{number:06d}.log"), text.encode())
    assert read_logs(storage, "j") == ("one ä\ntwo\nten\n", 3)
    assert read_logs(storage, "j", skip=2) == ("ten\n", 3)
    assert read_logs(storage, "j", skip=3) == ("", 3)


def test_bytes_of_a_log_that_are_no_text_do_no_harm(storage: MemoryStorage) -> None:
    storage.write(job_key("j", "logs/000001.log"), b"a\xffb")
    assert read_logs(storage, "j")[0] == "a�b"


def test_progress_is_none_before_a_job_has_said_anything(storage: MemoryStorage) -> None:
    assert load_progress(storage, "j") is None


def test_progress_survives_a_value_that_is_not_finite(storage: MemoryStorage) -> None:
    values = {"kid": float("nan"), "psnr": float("inf"), "loss": 1.5}
    progress = JobProgress(phase="p", done=1, total=2, unit="steps", values=values, updated_at=0.0)
    storage.write(job_key("j", "progress.json"), progress.model_dump_json().encode())
    found = load_progress(storage, "j")
    assert found is not None and str(found.values) == str(values)


def test_a_saved_status_replaces_the_one_before(storage: MemoryStorage) -> None:
    save_status(storage, put_status(storage).finished(JobState.SUCCEEDED))
    assert load_status(storage, TRAIN_JOB).state is JobState.SUCCEEDED
    assert list(storage.objects) == [f"jobs/{TRAIN_JOB}/status.json"]
