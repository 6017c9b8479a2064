"""Going on with a job that ended early, and starting the same one anew."""

import json
import time
from dataclasses import dataclass

from infra.cluster.ray_cluster import Capacity, Cluster
from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.kinds import parse_spec
from jobs.operations.control import current_status
from jobs.operations.submit import check_cluster, start, submit
from jobs.record.context import load_memory_estimate, load_spec
from jobs.record.status import JobState, JobStatus, job_key, load_status, save_status
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import JobSpec

CLAIM_SEC = 120.0
"""A claim on an attempt that is not recorded after this time was interrupted; the next attempt may then go on."""


@dataclass(frozen=True)
class Resumed:
    """What became of a job that was to go on.

    Attributes:
        status: of the attempt.
        is_ours: this call started it; else another one did.
        hint: a sentence where not all workers find room; None = they do.
    """

    status: JobStatus
    is_ours: bool
    hint: str | None = None


def resume_job(job_id: str, settings: Settings, cluster: Cluster) -> Resumed:
    """Go on with a job under its own id; what it had finished is kept.

    Of several calls at one time one starts the attempt, and the others say which one it is. A generate job begins with
    the workers that the cluster has room for, one at least.

    Raises:
        NotFoundError: no such job.
        UsageError: it runs and was never resumed, has succeeded, or its kind can only start anew.
        ClusterError: the cluster is too small or refused it.
    """
    storage = open_storage(settings)
    status, spec = current_status(storage, job_id), load_spec(storage, job_id)
    if not status.state.is_final and status.attempt > 1:
        return Resumed(status, is_ours=False)
    _check_resumable(status, spec)
    capacity = cluster.capacity()
    check_cluster(spec.least(), storage.uri, capacity)
    latest = load_status(storage, job_id)
    if latest.attempt > status.attempt:
        return Resumed(latest, is_ours=False)
    attempt, is_ours = _claim(storage, job_id, status.attempt + 1)
    again = status.changed(
        state=JobState.PENDING,
        attempt=attempt,
        submitted_at=time.time(),
        started_at=None,
        finished_at=None,
        error=None,
        cluster=cluster.url,
    )
    if not is_ours:
        return Resumed(again, is_ours=False)
    for name in ("cancel.json", "failure.txt"):
        storage.delete(job_key(job_id, name))
    save_status(storage, again)
    start(again, storage, settings, cluster)
    return Resumed(again, is_ours=True, hint=_hint(spec, capacity))


def _check_resumable(status: JobStatus, spec: JobSpec) -> None:
    job = f"job {status.job_id}"
    if not status.state.is_final:
        raise UsageError(f"{job}: is {status.state}; wait for it, or end it with `agan jobs cancel {status.job_id}`")
    if status.state is JobState.SUCCEEDED:
        raise UsageError(f"{job}: has succeeded; see `agan results show {status.job_id}`")
    if not spec.can_resume:
        raise UsageError(
            f"{job}: is a kind that cannot go on ({status.kind}); start it anew with `agan jobs retry {status.job_id}`"
        )


def _claim(storage: Storage, job_id: str, attempt: int) -> tuple[int, bool]:
    """(attempt that goes on, whether it is ours); of racing callers one gets it.

    Args:
        attempt: the next one.
    """
    key = job_key(job_id, f"attempts/{attempt}.json")
    if storage.create(key, json.dumps({"claimed_at": time.time()}).encode()):
        return attempt, True
    if time.time() - float(json.loads(storage.read(key))["claimed_at"]) < CLAIM_SEC:
        return attempt, False
    return _claim(storage, job_id, attempt + 1)


def _hint(spec: JobSpec, capacity: Capacity) -> str | None:
    wanted = spec.resources.workers
    rooms = [capacity.cpus / spec.resources.cpus_per_worker]
    if spec.resources.gpus_per_worker:
        rooms.append(capacity.gpus / spec.resources.gpus_per_worker)
    room = int(min(rooms))
    if capacity.grows or room >= wanted:
        return None
    return f"hint: the cluster has room for {room} of {wanted} workers; the others begin when nodes join"


def retry_job(job_id: str, settings: Settings, cluster: Cluster) -> str:
    """Submit a job's spec again as a new job, which shares nothing with it; returns the new id.

    Raises:
        NotFoundError: no such job.
        ClusterError: the cluster is too small or refused it.
    """
    storage = open_storage(settings)
    load_status(storage, job_id)
    document = json.loads(storage.read(job_key(job_id, "spec.json")))
    resolved = ResolvedSpec(parse_spec(document["spec"]), document["sources"])
    return submit(resolved, settings, cluster, load_memory_estimate(storage, job_id))
