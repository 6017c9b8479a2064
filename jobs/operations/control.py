"""Watch and stop jobs; the truth is the record in the store, the cluster is only asked when it is silent."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from infra.cluster.ray_cluster import Cluster, find
from infra.errors import ClusterError
from infra.storage.protocol import Storage
from jobs.record.status import (
    LOST_AFTER_SEC,
    JobProgress,
    JobState,
    JobStatus,
    job_key,
    load_progress,
    load_status,
    read_logs,
    save_status,
)

POLL_SEC = 0.5
CANCEL_TIMEOUT_SEC = 14.0
RAY_FINAL = {"STOPPED", "SUCCEEDED", "FAILED", "UNKNOWN"}


@dataclass(frozen=True)
class Observation:
    """What is new of a job since the last look."""

    status: JobStatus
    progress: JobProgress | None
    log: str


def current_status(storage: Storage, job_id: str, cluster: Cluster | None = None) -> JobStatus:
    """The record; a silent job is asked after at its cluster, and what is learnt is recorded."""
    status = load_status(storage, job_id)
    if status.state.is_final or status.seconds_silent() < LOST_AFTER_SEC:
        return status
    return _settle(storage, status, cluster or find(status.cluster))


def _settle(storage: Storage, status: JobStatus, cluster: Cluster | None) -> JobStatus:
    """Record a silent job's end, where its cluster says that it has ended or does not answer at all."""
    word, message, answered = "UNKNOWN", "", False
    if cluster is not None:
        try:
            word, message = cluster.job_state(status.submission_id)
            answered = True
        except ClusterError as err:
            message = str(err)
    if word not in RAY_FINAL:
        return status
    again = load_status(storage, status.job_id)
    if again.state.is_final or again.heartbeat_at != status.heartbeat_at:
        return again
    if answered and storage.exists(job_key(status.job_id, "cancel.json")):
        settled = again.finished(JobState.CANCELLED)
    elif word == "UNKNOWN":
        why = message or "its cluster knows it no longer"
        settled = again.finished(JobState.LOST, f"silent for {again.seconds_silent():.0f} s and {why}; submit it again")
    else:
        settled = again.finished(JobState.FAILED, message.strip() or f"the cluster says {word.lower()}")
    save_status(storage, settled)
    return settled


def follow(storage: Storage, job_id: str, *, with_log: bool = True) -> Iterator[Observation]:
    """Look again and again until the job has ended; the last observation holds its final status."""
    pieces = 0
    while True:
        status = current_status(storage, job_id)
        log, pieces = read_logs(storage, job_id, pieces) if with_log else ("", 0)
        yield Observation(status, load_progress(storage, job_id), log)
        if status.state.is_final:
            return
        time.sleep(POLL_SEC)


def cancel(storage: Storage, job_id: str) -> JobStatus:
    """Ask a job to end and wait until it has; an ended job stays as it is.

    Raises:
        ClusterError: its cluster cannot be reached, and so nobody knows whether it still runs.
    """
    status = load_status(storage, job_id)
    if status.state.is_final:
        return status
    storage.create(job_key(job_id, "cancel.json"), json.dumps({"requested_at": time.time()}).encode())
    cluster = find(status.cluster)
    if cluster is None:
        raise ClusterError(f"job {job_id}: its record names no cluster; end it in that cluster's dashboard")
    cluster.stop(status.submission_id)
    deadline = time.monotonic() + CANCEL_TIMEOUT_SEC
    while time.monotonic() < deadline:
        status = load_status(storage, job_id)
        if status.state.is_final:
            return status
        if cluster.job_state(status.submission_id)[0] in RAY_FINAL:
            time.sleep(POLL_SEC)
            return _settle(storage, load_status(storage, job_id), cluster)
        time.sleep(POLL_SEC)
    return load_status(storage, job_id)
