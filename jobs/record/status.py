"""What is known of a job, kept in the store: it is there when the cluster is gone.

jobs/<id>/spec.json       what was asked, with the source of each value; written once
jobs/<id>/status.json     state; written by the job's supervisor, or by the CLI once that is dead
jobs/<id>/attempts/N.json who resumed the job as attempt N; created once
jobs/<id>/progress.json   how far, how fast, losses; written by the work itself
jobs/<id>/cancel.json     somebody asked for an end
jobs/<id>/failure.txt     an error of the training that a restart would only repeat
jobs/<id>/plan.json       generate only: how the work is cut into tasks (`jobs.tasks.commits`)
jobs/<id>/commits/        generate only: the tasks that are done
jobs/<id>/checkpoints/    what a restarted training goes on from
jobs/<id>/trials/         the trials of a tune job, each laid out like a train job
jobs/<id>/logs/NNNNNN.log pieces of the log, in order
jobs/<id>/out/            results; trusted only as far as manifest.json lists them
jobs/<id>/manifest.json   every result with size and sha256
jobs/<id>/_SUCCESS        written last
"""

import secrets
import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from anomaly_gan.records import Record
from infra.errors import DataError, ExitCode, NotFoundError
from infra.storage.damage import Told, refuse, sound
from infra.storage.protocol import Storage

SCHEMA_VERSION = 1
HEARTBEAT_SEC = 3.0
ATTEMPT_VARIABLE = "AGAN_ATTEMPT"
"""Variable that says to a supervisor which attempt of its job it is."""
LOST_AFTER_SEC = 45.0
"""A job whose supervisor has been silent for this long is asked after, and may be lost."""


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        return self not in (JobState.PENDING, JobState.RUNNING)


EXIT_CODES = {
    JobState.SUCCEEDED: ExitCode.SUCCEEDED,
    JobState.FAILED: ExitCode.FAILED,
    JobState.CANCELLED: ExitCode.CANCELLED,
    JobState.LOST: ExitCode.LOST,
}


class JobStatus(Record):
    """status.json; times are seconds since 1970.

    Attributes:
        attempt: 1, and one more each time that the job is resumed.
    """

    schema_version: int = SCHEMA_VERSION
    job_id: str
    kind: str
    title: str
    state: JobState
    submitted_at: float
    started_at: float | None = None
    finished_at: float | None = None
    heartbeat_at: float
    cluster: str | None = None
    error: str | None = None
    attempt: int = 1

    @property
    def submission_id(self) -> str:
        """What the cluster calls this attempt; a cluster takes each name once."""
        return self.job_id if self.attempt == 1 else f"{self.job_id}-{self.attempt}"

    def seconds_silent(self) -> float:
        return time.time() - self.heartbeat_at

    def changed(self, **changes: Any) -> "JobStatus":
        return self.model_copy(update={"heartbeat_at": time.time(), **changes})

    def finished(self, state: JobState, error: str | None = None) -> "JobStatus":
        return self.changed(state=state, finished_at=time.time(), error=error)


class JobProgress(Record):
    """progress.json; a value may be nan."""

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")

    phase: str
    done: int
    total: int
    unit: str
    images_per_sec: float | None = None
    eta_sec: float | None = None
    values: dict[str, float] = Field(default_factory=dict)
    updated_at: float


def new_job_id(kind: str) -> str:
    """kind-date-time-random: sorts by time within a kind."""
    return f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def job_key(job_id: str, name: str) -> str:
    return f"jobs/{job_id}/{name}"


def save_status(storage: Storage, status: JobStatus) -> None:
    storage.write(job_key(status.job_id, "status.json"), status.model_dump_json(indent=1).encode())


def load_status(storage: Storage, job_id: str) -> JobStatus:
    """Raises NotFoundError naming how to list jobs, DataError for a broken record."""
    try:
        return JobStatus.model_validate_json(storage.read(job_key(job_id, "status.json")))
    except NotFoundError as err:
        raise NotFoundError(f"job {job_id}: not in {storage.uri}; see `agan jobs list`") from err
    except ValidationError as err:
        raise DataError(f"job {job_id}: status.json is broken ({err.errors()[0]['msg']})") from err


def load_progress(storage: Storage, job_id: str) -> JobProgress | None:
    """How far the job is; None before it has said anything."""
    try:
        return JobProgress.model_validate_json(storage.read(job_key(job_id, "progress.json")))
    except NotFoundError:
        return None
    except ValidationError as err:
        raise DataError(f"job {job_id}: progress.json is broken ({err.errors()[0]['msg']}); remove it") from err


def list_job_ids(storage: Storage) -> list[str]:
    """All jobs of the store, by id."""
    return sorted(entry.key.split("/")[1] for entry in storage.list("jobs/") if entry.key.endswith("/status.json"))


def list_statuses(storage: Storage, on_damaged: Told = refuse) -> list[JobStatus]:
    """All jobs of the store, newest first; `on_damaged` is told of those that cannot be read."""
    statuses = list(sound(list_job_ids(storage), lambda job_id: load_status(storage, job_id), on_damaged))
    return sorted(statuses, key=lambda status: status.submitted_at, reverse=True)


def read_logs(storage: Storage, job_id: str, skip: int = 0) -> tuple[str, int]:
    """Text of the log's pieces after the first `skip`, and how many pieces there are."""
    pieces = storage.list(job_key(job_id, "logs/"))
    return "".join(storage.read(p.key).decode(errors="replace") for p in pieces[skip:]), len(pieces)
