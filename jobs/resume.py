"""Going on with a job that ended early, and starting the same one anew."""

import json
import time

from infra.cluster import Cluster
from infra.errors import UsageError
from infra.settings import Settings
from infra.storage import open_storage
from jobs.context import load_memory_estimate, load_spec
from jobs.control import current_status
from jobs.record import JobState, JobStatus, job_key, load_status, save_status
from jobs.resolve import ResolvedSpec
from jobs.spec import parse_spec
from jobs.submit import check_cluster, start, submit

RESUMABLE = ("train", "generate")
"""Kinds that go on where they ended: at the last checkpoint, or with the tasks that are missing."""


def resume_job(job_id: str, settings: Settings, cluster: Cluster) -> JobStatus:
    """Go on with a job under its own id; what it had finished is kept.

    Raises:
        NotFoundError: no such job.
        UsageError: it still runs, has succeeded, or its kind can only start anew.
        ClusterError: the cluster is too small or refused it.
    """
    storage = open_storage(settings)
    status, spec = current_status(storage, job_id), load_spec(storage, job_id)
    if not status.state.is_final:
        raise UsageError(f"job {job_id}: is {status.state}; wait for it, or end it with `agan jobs cancel {job_id}`")
    if status.state is JobState.SUCCEEDED:
        raise UsageError(f"job {job_id}: has succeeded; see `agan results show {job_id}`")
    if status.kind not in RESUMABLE:
        raise UsageError(
            f"job {job_id}: is a kind that cannot go on ({status.kind}); start it anew with `agan jobs retry {job_id}`"
        )
    check_cluster(spec, storage.uri, cluster.capacity())
    for name in ("cancel.json", "failure.txt"):
        storage.delete(job_key(job_id, name))
    again = status.changed(
        state=JobState.PENDING,
        attempt=status.attempt + 1,
        submitted_at=time.time(),
        started_at=None,
        finished_at=None,
        error=None,
        cluster=cluster.url,
    )
    save_status(storage, again)
    start(again, storage, settings, cluster)
    return again


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
