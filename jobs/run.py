"""The entrypoint of every job on the cluster: `python -m jobs.run STORE/jobs/ID/spec.json`.

A supervisor starts the work as its child, mirrors the child's output to the store, keeps the heartbeat
and records how it ended; the record is right even when the work is killed.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from infra.errors import StorageError, UsageError
from infra.settings import load_settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.record.status import (
    ATTEMPT_VARIABLE,
    HEARTBEAT_SEC,
    JobState,
    JobStatus,
    job_key,
    load_status,
    save_status,
)

LOG_FLUSH_SEC = 1.0
LATER_FLUSH_SEC = HEARTBEAT_SEC
MANY_PIECES = 120
FINAL_PAUSES_SEC = (0.5, 1.0, 2.0, 4.0)
"""Pauses between attempts to record the end; together less than a cluster waits for a job that it stops."""
ERROR_FILE_VARIABLE = "AGAN_ERROR_FILE"
"""Variable with the file in which the work leaves the one sentence that says why it failed."""


def parse_spec_uri(uri: str) -> tuple[str, str]:
    """(store URI, job id) of STORE/jobs/ID/spec.json."""
    store, separator, rest = uri.rpartition("/jobs/")
    job_id, _, name = rest.partition("/")
    if not (separator and store and job_id and name == "spec.json"):
        raise UsageError(f"jobs.run: {uri!r} is not STORE/jobs/ID/spec.json")
    return store, job_id


class LogMirror:
    """Copies the child's output to our own and, in numbered pieces, to the store."""

    def __init__(self, storage: Storage, job_id: str) -> None:
        self._storage = storage
        self._prefix = job_key(job_id, "logs/")
        self._pieces = len(storage.list(self._prefix))
        self._buffer = bytearray()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        with self._lock:
            self._buffer += data

    def interval_sec(self) -> float:
        """Seconds between pieces: longer after the first, so that a day of logs stays readable."""
        return LOG_FLUSH_SEC if self._pieces < MANY_PIECES else LATER_FLUSH_SEC

    def flush(self, *, last: bool = False) -> None:
        """Write what is new as one more piece: whole lines, or all of it where it is the `last`."""
        with self._lock:
            data = bytes(self._buffer if last else self._buffer[: self._buffer.rfind(b"\n") + 1])
        if data:
            self._storage.write(f"{self._prefix}{self._pieces + 1:06d}.log", data)
            self._pieces += 1
            with self._lock:
                del self._buffer[: len(data)]


class Supervisor:
    """Runs one attempt of a job's work in a child process and keeps its record, until there is a newer attempt.

    Attributes:
        is_superseded: the job was taken for lost and resumed; its record and log belong to the newer attempt.
    """

    def __init__(
        self, storage: Storage, job_id: str, command: Sequence[str] | None = None, *, attempt: int = 1
    ) -> None:
        """
        Args:
            command: what does the work; None = `jobs.work`.
            attempt: as in the job's status.
        """
        self.storage = storage
        self.job_id = job_id
        self.attempt = attempt
        self.command = command or [sys.executable, "-u", "-m", "jobs.work", job_id]
        self.logs = LogMirror(self.storage, job_id)
        self.child: subprocess.Popen[bytes] | None = None
        self.stopped_by: signal.Signals | None = None
        self.is_superseded = False

    def run(self) -> int:
        if not self._owns_record():
            return 1
        status = load_status(self.storage, self.job_id)
        running = status.changed(state=JobState.RUNNING, started_at=time.time(), attempt=self.attempt)
        save_status(self.storage, running)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with tempfile.TemporaryDirectory() as folder:
            error_file = Path(folder) / "error"
            code = self._supervise(running, error_file)
            error = error_file.read_text() if error_file.is_file() else None
        final = self._record_end(running, code, error)
        return 0 if final.state is JobState.SUCCEEDED and not self.is_superseded else 1

    def _owns_record(self) -> bool:
        """Whether no newer attempt keeps the record."""
        newest = load_status(self.storage, self.job_id).attempt
        if newest > self.attempt:
            self.is_superseded = True
            print(f"job {self.job_id}: goes on as attempt {newest}; attempt {self.attempt} ends", file=sys.stderr)
        return not self.is_superseded

    def _supervise(self, status: JobStatus, error_file: Path) -> int:
        self.child = subprocess.Popen(
            self.command,
            env={**os.environ, ERROR_FILE_VARIABLE: str(error_file)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        reader = threading.Thread(target=self._read, args=(self.child,), daemon=True)
        reader.start()
        flushed_at = time.monotonic()
        while self.child.poll() is None and self.stopped_by is None and not self.is_superseded:
            time.sleep(LOG_FLUSH_SEC / 4)
            if time.monotonic() - flushed_at >= self.logs.interval_sec():
                flushed_at = time.monotonic()
                status = self._keep_record(status)
        if self.stopped_by is not None or self.is_superseded:
            self.child.kill()
        code = self.child.wait()
        reader.join(timeout=2)
        return code

    def _keep_record(self, status: JobStatus) -> JobStatus:
        """Write log and heartbeat; a store that is away for a while must not end the work."""
        try:
            if time.time() - status.heartbeat_at >= HEARTBEAT_SEC:
                if not self._owns_record():
                    return status
                status = status.changed()
                save_status(self.storage, status)
            self.logs.flush()
        except StorageError as err:
            print(f"warning: the record is late: {err}", file=sys.stderr)
        return status

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout as output:
            while data := os.read(output.fileno(), 1 << 16):
                self.logs.add(data)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stopped_by = signal.Signals(number)

    def _record_end(self, status: JobStatus, code: int, error: str | None) -> JobStatus:
        pauses = iter(FINAL_PAUSES_SEC)
        while True:
            try:
                final = self._final_status(status, code, error)
                if self._owns_record():
                    self.logs.flush(last=True)
                    save_status(self.storage, final)
                return final
            except StorageError as err:
                pause = next(pauses, None)
                if pause is None:
                    raise
                print(f"warning: the record is late: {err}", file=sys.stderr)
                time.sleep(pause)

    def _final_status(self, status: JobStatus, code: int, error: str | None) -> JobStatus:
        if code == 0:
            return status.finished(JobState.SUCCEEDED)
        if self.stopped_by is not None:
            if self.storage.exists(job_key(self.job_id, "cancel.json")):
                return status.finished(JobState.CANCELLED)
            return status.finished(JobState.FAILED, f"stopped by {self.stopped_by.name} from outside")
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return status.finished(JobState.FAILED, error or f"the work {how}; see `agan jobs logs {self.job_id}`")


def main(uri: str) -> int:
    store, job_id = parse_spec_uri(uri)
    attempt = int(os.environ.get(ATTEMPT_VARIABLE, "1"))
    return Supervisor(open_storage(load_settings({"store": store})), job_id, attempt=attempt).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
