"""How the work reports where it is: to its record in the store, and to Ray's metrics for the dashboard."""

import contextlib
import sys
import time
from collections.abc import Mapping

from infra.errors import StorageError
from infra.storage.protocol import Storage
from jobs.record.status import JobProgress, job_key

WRITE_INTERVAL_SEC = 1.0


class ProgressReporter:
    """Used by the one process of a job that knows how far it is."""

    def __init__(self, storage: Storage, job_id: str) -> None:
        self._storage = storage
        self._job_id = job_id
        self._written_at = 0.0
        self._phase: str | None = None
        self._phase_started = 0.0
        self._phase_first = 0
        self._gauges = _Gauges(job_id)

    def update(
        self,
        phase: str,
        done: int,
        total: int,
        unit: str,
        *,
        images_per_sec: float | None = None,
        values: Mapping[str, float] | None = None,
    ) -> None:
        """Report; the store hears of it at most once a second, and always of a phase's begin and end.

        Args:
            phase: what is being done, for a person.
            done, total: in `unit`.
            images_per_sec: throughput over all workers.
            values: losses and other figures by name.
        """
        now = time.time()
        if phase != self._phase:
            self._phase, self._phase_started, self._phase_first = phase, now, done
            self._written_at = 0.0
        if images_per_sec is not None or values:
            self._gauges.set(done, total, images_per_sec, values or {})
        if done < total and now - self._written_at < WRITE_INTERVAL_SEC:
            return
        gained = done - self._phase_first
        eta = (now - self._phase_started) / gained * (total - done) if gained > 0 else None
        self._written_at = now
        progress = JobProgress(
            phase=phase,
            done=done,
            total=total,
            unit=unit,
            images_per_sec=images_per_sec,
            eta_sec=eta,
            values=dict(values or {}),
            updated_at=now,
        )
        try:
            self._storage.write(job_key(self._job_id, "progress.json"), progress.model_dump_json(indent=1).encode())
        except StorageError as err:  # the work goes on, and the next report may get through
            print(f"warning: progress is late: {err}", file=sys.stderr)


class _Gauges:
    """Ray metrics ray_agan_*; without a Ray worker around, nothing."""

    def __init__(self, job_id: str) -> None:
        self._tags = {"job": job_id}
        self._made = False
        with contextlib.suppress(ImportError):
            import ray
            from ray.util.metrics import Gauge

            if ray.is_initialized():
                self._progress = Gauge("agan_progress", "Share of the job's phase done, 0..1.", ("job",))
                self._speed = Gauge("agan_images_per_sec", "Images per second, all workers.", ("job",))
                self._value = Gauge("agan_value", "A loss or measure of the job.", ("job", "name"))
                self._made = True

    def set(self, done: int, total: int, images_per_sec: float | None, values: Mapping[str, float]) -> None:
        if not self._made:
            return
        self._progress.set(done / total if total else 1.0, self._tags)
        if images_per_sec is not None:
            self._speed.set(images_per_sec, self._tags)
        for name, value in values.items():
            self._value.set(value, {**self._tags, "name": name})
