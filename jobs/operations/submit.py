"""Makes a completed spec a job on the cluster."""

import json
import shlex
import sys
import time
from dataclasses import asdict

import ray
import torch

from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.cluster.local_head import JOB_STOP_GRACE_SEC
from infra.cluster.ray_cluster import Capacity, Cluster
from infra.errors import ClusterError, UsageError
from infra.settings import Settings
from infra.storage.open import is_local, open_storage
from infra.storage.protocol import Storage
from jobs.record.status import ATTEMPT_VARIABLE, JobState, JobStatus, job_key, new_job_id, save_status
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import SCHEMA_VERSION, JobSpec

JOB_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads make steps many times slower where cores are shared
    "PYTHONUNBUFFERED": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line of a worker stands twice in the log
    "RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_GRACE_SEC),
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a report waits for the controller's next look
}


def check_cluster(spec: JobSpec, store: str, capacity: Capacity) -> None:
    """Refuse what the cluster cannot do; a job that waits for ever could not even be stopped.

    Raises:
        UsageError: a local folder as store of several nodes.
        ClusterError: more CPUs or GPUs than there are, where none can be added.
    """
    if is_local(store) and (capacity.nodes > 1 or capacity.grows):
        blind = f"the other {capacity.nodes - 1} nodes of" if capacity.nodes > 1 else "nodes that join"
        raise UsageError(f"store {store}: a local folder, which {blind} the cluster cannot see; use s3://bucket/prefix")
    if capacity.grows:
        return
    cpus, gpus = spec.needed()
    for name, wanted, there in (("CPUs", cpus, capacity.cpus), ("GPUs", gpus, capacity.gpus)):
        if wanted > there:
            raise ClusterError(
                f"resources: the job needs {wanted:g} {name}, the cluster has {there:g};"
                " lower --workers, or use a larger cluster"
            )


def gpu_hint(spec: JobSpec, capacity: Capacity) -> str | None:
    """A hint for those whose GPUs would stay idle."""
    if capacity.gpus and not spec.resources.gpus_per_worker:
        return f"hint: the cluster has {capacity.gpus:g} GPUs, this job uses none; --gpus-per-worker 1 takes them"
    return None


def submit(
    resolved: ResolvedSpec[JobSpec], settings: Settings, cluster: Cluster, memory: MemoryEstimate | None = None
) -> str:
    """Record the job, then hand it to the cluster. Returns the job's id.

    Args:
        resolved: as `jobs.kinds.complete` gives it.
        memory: of one worker, which a training then compares with what it takes.

    Raises:
        ClusterError: the cluster refused; the job's record then says failed.
    """
    storage = open_storage(settings)
    check_cluster(resolved.spec, storage.uri, cluster.capacity())
    job_id = new_job_id(resolved.spec.kind)
    document = {
        "schema_version": SCHEMA_VERSION,
        "job_id": job_id,
        "spec": resolved.spec.model_dump(mode="json"),
        "sources": resolved.sources,
        "memory_estimate": asdict(memory) if memory else None,
        "versions": {"ray": ray.__version__, "torch": torch.__version__},
    }
    storage.write(job_key(job_id, "spec.json"), json.dumps(document, indent=1).encode())
    now = time.time()
    status = JobStatus(
        job_id=job_id,
        kind=resolved.spec.kind,
        title=resolved.spec.title(),
        state=JobState.PENDING,
        submitted_at=now,
        heartbeat_at=now,
        cluster=cluster.url,
    )
    save_status(storage, status)
    start(status, storage, settings, cluster)
    return job_id


def start(status: JobStatus, storage: Storage, settings: Settings, cluster: Cluster) -> None:
    """Hand a recorded job to the cluster.

    Raises:
        ClusterError: the cluster refused; the job's record then says failed.
    """
    python = sys.executable if settings.cluster is None else "python"
    spec_uri = f"{storage.uri}/{job_key(status.job_id, 'spec.json')}"
    entrypoint = shlex.join([python, "-m", "jobs.run", spec_uri])
    environment = settings.environment() | JOB_ENVIRONMENT | {ATTEMPT_VARIABLE: str(status.attempt)}
    try:
        cluster.submit(status.submission_id, entrypoint, environment)
    except ClusterError as err:
        save_status(storage, status.finished(JobState.FAILED, str(err)))
        raise
