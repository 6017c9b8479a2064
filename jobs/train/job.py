"""The train job: Ray Train workers, DDP, our own checkpoints in the store."""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.train
import torch
import torch.distributed
from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from anomaly_gan.methods import build_method
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.training import checkpoint, loop
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.joining import alone, join_ranks
from anomaly_gan.training.loop import StepReport
from anomaly_gan.training.memory_use import MemoryWatch
from anomaly_gan.training.method import Method
from anomaly_gan.training.validation import LearntAndHeld, hold_out
from infra.errors import AganError, StorageError, TrainingError
from infra.storage.protocol import Storage
from jobs.library.models.store import publish_model
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext, context_from_plain, load_memory_estimate
from jobs.record.failures import expected_error
from jobs.record.manifest import OutputWriter
from jobs.record.status import job_key
from jobs.spec.specs import Resources, TrainSpec
from jobs.train.aware import aware_network, cached_aware
from jobs.train.checkpoints import CheckpointStore
from jobs.train.observer import TrainObserver
from jobs.train.preemption import StopNotice, WatchedTorchConfig, end_stopped
from jobs.train.publication import Publication


def train(context: JobContext[TrainSpec]) -> None:
    """Train on the cluster, then publish the model and the results."""
    fit(context.to_plain(), context.spec.resources, context.job_id)
    outputs = OutputWriter(context.storage, context.job_id)
    outputs.add_written("")
    publish_model(context.storage, context.job_id)
    outputs.commit()


def fit(raw: dict[str, Any], resources: Resources, name: str, callbacks: list[Any] | None = None) -> None:
    """Run `worker` on every rank; a lost worker restarts the group from the last checkpoint.

    Raises:
        AganError: the lowest rank's own error where it was an expected one.
        TrainingError: the workers were lost more often than `max_failures`.
    """
    with tempfile.TemporaryDirectory() as folder:  # our checkpoints are in the store; Ray's own state is not needed
        trainer = TorchTrainer(
            worker,
            train_loop_config=raw,
            torch_config=WatchedTorchConfig(grace_sec=resources.stop_grace_sec),
            scaling_config=ScalingConfig(
                num_workers=resources.workers,
                use_gpu=resources.gpus_per_worker > 0,
                resources_per_worker={"CPU": resources.cpus_per_worker, "GPU": resources.gpus_per_worker},
            ),
            run_config=RunConfig(  # type: ignore[call-arg]  # typed as the old RunConfig
                name=name,
                storage_path=folder,
                logging_config=LoggingConfig(log_level="WARNING"),
                failure_config=FailureConfig(max_failures=resources.max_failures),
                callbacks=callbacks,
            ),
        )
        try:
            trainer.fit()
        except ray.train.WorkerGroupError as err:
            failures = err.worker_failures
            first = failures[min(failures)]
            raise expected_error(first) or TrainingError(
                f"training: rank {min(failures)} failed ({str(first).strip().splitlines()[-1]});"
                " see the log for its traceback"
            ) from err


def worker(raw: dict[str, Any]) -> None:
    """Runs on every rank; an error that would come again ends the restarts at once.

    Ray restarts the group whatever the error was, so its sentence is left in the store for the next attempt.
    """
    context = context_from_plain(raw, TrainSpec)
    failure = job_key(context.job_id, "failure.txt")
    if context.storage.exists(failure):
        raise TrainingError(context.storage.read(failure).decode())
    try:
        _train_rank(context)
    except StorageError:
        raise  # worth another try
    except AganError as err:
        context.storage.write(failure, str(err).encode())
        raise


def _train_rank(context: JobContext[TrainSpec]) -> None:
    spec = context.spec
    rank, world_size = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    torch.set_num_threads(spec.resources.cpus_per_worker)
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    device = get_device()
    data, source = _data(context, rank, world_size)
    aware, aware_weights = _aware(context, data, source, device)
    wrap = join_ranks(device) if world_size > 1 else alone
    estimate = load_memory_estimate(context.storage, context.job_id)
    memory = MemoryWatch(estimate, device) if estimate else None
    method = build_method(spec.train, spec.view.size, aware, device, wrap)
    method.generator.exemplars = source.exemplars
    checkpoints = _checkpoints(context.storage, context.job_id)
    chosen_so_far = _resume(method, context)
    observer = None
    if rank == 0:
        publication = Publication(data, spec.view, method, device, chosen_so_far)
        record = _record(context, data, source, aware_weights)
        observer = TrainObserver(context, data, source, method, aware, checkpoints, publication, record)
    for report in _named(loop.run(method, source, StopNotice(), memory), checkpoints):
        image_pools = checkpoint.gather_image_pools(method) if report.is_checkpoint else {}
        if observer is not None:
            observer.observe(report, image_pools)
        if report.is_checkpoint:
            measures = observer.final_measures if observer is not None else {}
            ray.train.report({"step": report.step, **report.losses, **measures})
        if report.is_stopped and report.step < report.total_steps:
            end_stopped(report.step)
    if observer is not None:
        observer.finish()


def _data(context: JobContext[TrainSpec], rank: int, world_size: int) -> tuple[LearntAndHeld, BatchSource]:
    """The training split in its two parts, and the batches of a rank, which are of the learnt part alone."""
    spec = context.spec
    split = load_training_split(context.storage, spec.dataset, spec.class_name, spec.mask_pool, spec.real)
    data = hold_out(split.normals, split.abnormals, split.pool, spec.view, spec.train)
    source = BatchSource.of_run(
        data.normals, data.abnormals, data.pool, spec.view, spec.train, rank=rank, world_size=world_size
    )
    return data, source


def _checkpoints(storage: Storage, job_id: str) -> CheckpointStore:
    return CheckpointStore(storage, job_key(job_id, "checkpoints"))


def _named(reports: Iterator[StepReport], checkpoints: CheckpointStore) -> Iterator[StepReport]:
    """Yield the same reports; where the run fails, the error also names the last good checkpoint."""
    try:
        yield from reports
    except TrainingError as err:
        step = checkpoints.latest_step()
        raise TrainingError(f"{err}; the last good checkpoint is {f'of step {step}' if step else 'none'}") from err


def _aware(
    context: JobContext[TrainSpec], data: LearntAndHeld, source: BatchSource, device: torch.device
) -> tuple[AwareNetwork, str]:
    """The aware network: rank 0 makes or finds it, the others wait for it. Only `dataset` weights are worth keeping."""
    spec = context.spec
    config, crops = spec.train.aware, spec.train.crop
    if config.weights != "dataset":
        return aware_network(config, crops, source, device, context.settings)
    name, _, version = spec.dataset.partition("@")
    key: dict[str, object] = {
        "class": spec.class_name,
        "view": spec.view.model_dump(),
        "crop": crops.model_dump(),
        "mask_pool": spec.mask_pool,
        "masks": spec.train.masks.model_dump(),
        "aware": config.model_dump(),
        "seed": source.seed,
        **({} if spec.real is None else {"real": spec.real}),  # networks of all pictures keep the key they had
        # where nothing is held out, the network is that of a run without validation, and found under the same key
        **({"validation": spec.train.validation} if data.held_abnormals else {}),
    }
    if source.rank == 0:
        alone = replace(source, batch_size=config.batch_size, rank=0, world_size=1)
        made = cached_aware(
            context.storage, name, version, key, lambda: aware_network(config, crops, alone, device, context.settings)
        )
    if source.world_size > 1:
        torch.distributed.barrier()
    if source.rank == 0:
        return made
    return cached_aware(context.storage, name, version, key, _never_made)


def _never_made() -> tuple[AwareNetwork, str]:
    raise TrainingError("aware network: rank 0 has not left it in the store")


def _resume(method: Method, context: JobContext[TrainSpec]) -> dict[str, Any]:
    """Go on from the job's own last checkpoint, or from that of the job it is to continue.

    Returns:
        What was chosen until then, as `checkpoint.restore` gives it.
    """
    own, continued = context.job_id, context.spec.resume
    for job_id in (own, continued) if continued else (own,):
        checkpoints = _checkpoints(context.storage, job_id)
        step = checkpoints.latest_step()
        if step is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "checkpoint.pt"
                checkpoints.load(step, path)
                chosen = checkpoint.restore(method, path, f"checkpoint of step {step} of job {job_id}")
            print(f"resumed from the checkpoint of step {step}" + (f" of job {job_id}" if job_id != own else ""))
            return chosen
    return {}


def _record(
    context: JobContext[TrainSpec], data: LearntAndHeld, source: BatchSource, aware_weights: str
) -> dict[str, Any]:
    """What the model's description says of the run, beside what is published of it."""
    spec = context.spec
    return {
        "job_id": context.job_id,
        "dataset": spec.dataset,
        "mask_pool": spec.mask_pool,
        "real": spec.real,
        "aware_weights": aware_weights,
        "normal_images": len(data.normals),
        "abnormal_images": len(data.abnormals),
        "world_size": source.world_size,
    }
