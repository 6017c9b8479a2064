"""From a resolved spec to a job on the cluster: everything is checked before anything starts."""

import json
import shlex
import sys
import time
from dataclasses import asdict
from typing import Any

import ray
import torch
from pydantic import ValidationError

from anomaly_gan.checkpoint import Snapshot
from anomaly_gan.config import MaskConfig
from anomaly_gan.dataset import DatasetIndex
from anomaly_gan.memory import MemoryEstimate, estimate_memory, images_within
from anomaly_gan.networks.generator import check_view
from anomaly_gan.train_state import check_ranks
from infra.cluster import Capacity, Cluster
from infra.errors import ClusterError, UsageError
from infra.local_head import JOB_STOP_GRACE_SEC
from infra.settings import Settings
from infra.storage import Storage, is_local, open_storage
from jobs.checkpoints import CheckpointStore
from jobs.context import load_spec
from jobs.datasets import load_index
from jobs.manifest import load_manifest
from jobs.maskpools import check_pool, full_name, load_pool_index
from jobs.mix import check_mix
from jobs.models import load_model
from jobs.record import ATTEMPT_VARIABLE, JobState, JobStatus, job_key, new_job_id, save_status
from jobs.resolve import ResolvedSpec
from jobs.spec import SCHEMA_VERSION, AddedModel, EvaluateSpec, GenerateSpec, JobSpec, Resources, TrainSpec, TuneSpec

JOB_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads make steps many times slower where cores are shared
    "PYTHONUNBUFFERED": "1",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # else every line of a worker stands twice in the log
    "RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_GRACE_SEC),
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a report waits for the controller's next look
}
CHANGES_NOTHING: Any = {
    "resume": True,
    "resources": True,
    "train": {"compute", "log_every_steps", "sample_every_steps", "checkpoint_every_steps"},
}
"""What a run that goes on from another's checkpoint may change."""
PAPER_EPOCHS = 1000
"""Times that the preset `paper` shows each training image of the class."""
TUNE_DRIVER_CPUS = 0.1
"""What a trial itself takes beside its workers; Ray Tune refuses 0."""


def complete(resolved: ResolvedSpec, storage: Storage) -> ResolvedSpec:
    """Fill in what only the store knows (version, view, grey), and check every name against it.

    Raises:
        NotFoundError: a data set, model or job that is not there.
        UsageError: a class, view or batch that does not fit.
    """
    spec = resolved.spec
    if isinstance(spec, TrainSpec | TuneSpec):
        completed = _complete_training(resolved, load_index(storage, spec.dataset), storage)
        if isinstance(completed.spec, TrainSpec) and completed.spec.resume is not None:
            _check_resume(completed.spec, completed.spec.resume, storage)
        return completed
    if isinstance(spec, GenerateSpec):
        return _complete_generation(resolved, storage)
    return _complete_evaluation(resolved, load_index(storage, spec.dataset), storage)


def _complete_generation(resolved: ResolvedSpec, storage: Storage) -> ResolvedSpec:
    """Each model's mask pool and rules, and the images of a forward pass."""
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec)
    first = load_model(storage, spec.model, torch.device("cpu"))
    models = [first, *(load_model(storage, one.model, torch.device("cpu")) for one in spec.added)]
    check_mix(spec, models)
    added = [one if one.model_fields_set > {"model"} else _alone(resolved, one, storage) for one in spec.added]
    resolved = _complete_placing(resolved, first, storage)
    if added:
        resolved = _changed(resolved, {"added": [one.model_dump(mode="json") for one in added]}, "model")
    if "generation.batch_size" in resolved.sources:
        return resolved
    memory = spec.generation.memory_gib * 2**30
    fitting = min(images_within(memory, model.config.model, model.view.size) for model in models)
    return _changed(resolved, {"generation.batch_size": fitting}, "memory")


def _alone(resolved: ResolvedSpec, one: AddedModel, storage: Storage) -> AddedModel:
    """A further model with the pool and rules that it would have in a job of its own."""
    spec = resolved.spec.model_copy(update={"model": one.model, "added": ()})
    completed = _complete_placing(
        ResolvedSpec(spec, resolved.sources), load_model(storage, one.model, torch.device("cpu")), storage
    ).spec
    assert isinstance(completed, GenerateSpec)
    return AddedModel(model=one.model, mask_pool=completed.mask_pool, masks=completed.masks)


def _complete_placing(resolved: ResolvedSpec, snapshot: Snapshot, storage: Storage) -> ResolvedSpec:
    """The mask pool and the rules of placement: as given, else the pool's where one is named, else the model's."""
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec)
    index = load_index(storage, snapshot.record["dataset"])
    if spec.mask_pool is not None:
        resolved = _with_pool(resolved, spec.mask_pool, snapshot.class_name, index, "masks", storage)
    else:
        pool = snapshot.record.get("mask_pool")
        if pool is not None:
            load_pool_index(storage, pool)
        changes = {"mask_pool": pool, **_rules(resolved, "masks", snapshot.config.masks)}
        resolved = _changed(resolved, changes, "model")
    checked = resolved.spec
    assert isinstance(checked, GenerateSpec)
    _check_rationality(checked.masks, checked.mask_pool, snapshot.class_name, "masks", storage)
    return resolved


def _with_pool(
    resolved: ResolvedSpec, pool: str, class_name: str, dataset: DatasetIndex, section: str, storage: Storage
) -> ResolvedSpec:
    """Name the pool's version, and take its rules where the user gives none."""
    index = load_pool_index(storage, pool)
    check_pool(index, class_name, dataset)
    rules = _rules(resolved, section, index.classes[class_name].rules)
    return _changed(resolved, {"mask_pool": full_name(index), **rules}, "mask pool")


def _rules(resolved: ResolvedSpec, section: str, rules: MaskConfig) -> dict[str, Any]:
    """Dotted key -> value of every rule that the user has not given."""
    keys = {f"{section}.{name}": value for name, value in rules.model_dump(mode="json").items()}
    return {key: value for key, value in keys.items() if key not in resolved.sources}


def _check_rationality(masks: MaskConfig, pool: str | None, class_name: str, section: str, storage: Storage) -> None:
    """Refuse to weigh placements by what nothing was learnt of."""
    if masks.rationality and (pool is None or load_pool_index(storage, pool).classes[class_name].rationality is None):
        raise UsageError(
            f"{section}.rationality: nothing is known of where class {class_name} lies; build a mask pool with"
            " `agan masks build` and name it with --mask-pool, or set it to 0"
        )


def _complete_evaluation(resolved: ResolvedSpec, index: DatasetIndex, storage: Storage) -> ResolvedSpec:
    spec = resolved.spec
    assert isinstance(spec, EvaluateSpec)
    load_manifest(storage, spec.generated)
    made_by = load_spec(storage, spec.generated)
    if not isinstance(made_by, GenerateSpec):
        raise UsageError(f"generated: job {spec.generated} is a {made_by.kind} job; name a generate job")
    if made_by.added:
        raise UsageError(
            f"generated: job {spec.generated} mixes classes, and an evaluation knows one; name a job of one model"
        )
    snapshot = load_model(storage, made_by.model, torch.device("cpu"))
    class_name, wanted = snapshot.class_name, f"{index.name}@{index.version}"
    if class_name not in index.classes:
        raise UsageError(
            f"dataset: {index.name} has no class {class_name!r}, which job {spec.generated} made;"
            f" it has {', '.join(index.classes)}"
        )
    if wanted != snapshot.record["dataset"] and index.name == snapshot.record["dataset"].partition("@")[0]:
        raise UsageError(
            f"dataset: model {made_by.model} was trained on {snapshot.record['dataset']}, and {wanted} may split"
            f" otherwise, so that its test images taught the model; use {snapshot.record['dataset']}"
        )
    return _changed(resolved, {"dataset": wanted}, "data set")


def _complete_training(resolved: ResolvedSpec, index: DatasetIndex, storage: Storage) -> ResolvedSpec:
    spec = resolved.spec
    assert isinstance(spec, TrainSpec | TuneSpec)
    if spec.class_name not in index.classes:
        raise UsageError(
            f"class_name: {spec.class_name!r} is not in data set {index.name}; it has {', '.join(index.classes)}"
        )
    changes: dict[str, Any] = {"dataset": f"{index.name}@{index.version}"}
    if "train.model.gray" not in resolved.sources:
        changes["train.model.gray"] = index.gray
    pictures = index.counts["train"].get(spec.class_name, 0)
    if resolved.sources.get("train.total_images") == "preset paper" and pictures:
        changes["train.total_images"] = PAPER_EPOCHS * pictures
    if spec.view.kind == "whole" and index.resolution is None:
        raise UsageError(
            f"view: data set {index.name} keeps native sizes, which differ; see it through windows (--window 128)"
        )
    if spec.view.kind == "whole" and "view.size" not in resolved.sources:
        changes["view.size"] = index.resolution
    completed = _changed(resolved, changes, "data set")
    if spec.mask_pool is not None:
        completed = _with_pool(completed, spec.mask_pool, spec.class_name, index, "train.masks", storage)
    checked = completed.spec
    assert isinstance(checked, TrainSpec | TuneSpec)
    _check_rationality(checked.train.masks, checked.mask_pool, checked.class_name, "train.masks", storage)
    if checked.view.kind == "whole" and checked.view.size != index.resolution:
        raise UsageError(
            f"view.size: {checked.view.size} px, data set {index.name} is {index.resolution} px; use that, or --window"
        )
    check_ranks(checked.train, checked.resources.workers)
    check_view(checked.train.model, checked.view.size)
    return completed


def _check_resume(spec: TrainSpec, job_id: str, storage: Storage) -> None:
    """Refuse to go on from a job whose checkpoints are not of this run."""
    earlier = load_spec(storage, job_id)
    if not isinstance(earlier, TrainSpec):
        raise UsageError(f"resume: job {job_id} is a {earlier.kind} job; name a train job")
    if CheckpointStore(storage, job_key(job_id, "checkpoints")).latest_step() is None:
        raise UsageError(f"resume: job {job_id} has no checkpoint; leave it out to start anew")
    mine, its = (item.model_dump(mode="json", exclude=CHANGES_NOTHING) for item in (spec, earlier))
    if mine != its:
        raise UsageError(
            f"resume: {_first_difference(mine, its)} differs from job {job_id}'s; only resources, train.compute and"
            " the steps between reports may change"
        )


def _first_difference(mine: dict[str, Any], its: dict[str, Any]) -> str:
    key = next(key for key in mine if mine[key] != its[key])
    if isinstance(mine[key], dict) and isinstance(its[key], dict):
        return f"{key}.{_first_difference(mine[key], its[key])}"
    return key


def _changed(resolved: ResolvedSpec, changes: dict[str, Any], source: str) -> ResolvedSpec:
    tree = resolved.spec.model_dump(mode="json")
    for key, value in changes.items():
        *parents, leaf = key.split(".")
        section = tree
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    try:
        spec: JobSpec = type(resolved.spec).model_validate(tree)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}") from err
    return ResolvedSpec(spec, {**resolved.sources, **dict.fromkeys(changes, source)})


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
    cpus, gpus = needed(spec)
    for name, wanted, there in (("CPUs", cpus, capacity.cpus), ("GPUs", gpus, capacity.gpus)):
        if wanted > there:
            raise ClusterError(
                f"resources: the job needs {wanted:g} {name}, the cluster has {there:g};"
                " lower --workers, or use a larger cluster"
            )


def gpu_hint(spec: JobSpec, capacity: Capacity) -> str | None:
    """A word to those whose GPUs would stay idle."""
    if capacity.gpus and not spec.resources.gpus_per_worker:
        return f"hint: the cluster has {capacity.gpus:g} GPUs, this job uses none; --gpus-per-worker 1 takes them"
    return None


def training_memory(spec: JobSpec) -> MemoryEstimate | None:
    """What one worker of a training takes; None for other jobs. Takes some seconds."""
    if not isinstance(spec, TrainSpec | TuneSpec):
        return None
    return estimate_memory(spec.train, spec.view.size, spec.resources.workers)


def needed(spec: JobSpec) -> tuple[float, float]:
    """(CPUs, GPUs) that must be there at one time."""
    resources: Resources = spec.resources
    if isinstance(spec, EvaluateSpec):
        return float(resources.cpus_per_worker), float(resources.gpus_per_worker)
    cpus: float = resources.workers * resources.cpus_per_worker
    gpus: float = resources.workers * resources.gpus_per_worker
    if isinstance(spec, TuneSpec):
        return spec.concurrent_trials * (cpus + TUNE_DRIVER_CPUS), spec.concurrent_trials * gpus
    return cpus, gpus


def submit(resolved: ResolvedSpec, settings: Settings, cluster: Cluster, memory: MemoryEstimate | None = None) -> str:
    """Record the job, then hand it to the cluster; `resolved` comes from `complete`. Returns the job's id.

    Args:
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
        title=title(resolved.spec),
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


def title(spec: JobSpec) -> str:
    """A job in a few words."""
    if isinstance(spec, TrainSpec):
        return f"{spec.dataset} {spec.class_name}"
    if isinstance(spec, GenerateSpec):
        more = f" and {len(spec.added)} more" if spec.added else ""
        return f"{spec.count} images by {spec.model}{more}"
    if isinstance(spec, EvaluateSpec):
        return f"{spec.generated} on {spec.dataset}"
    return f"{spec.trials} trials, {spec.dataset} {spec.class_name}"
