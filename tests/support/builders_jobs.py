"""Small data sets, models and job records in a store, and a cluster that only remembers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anomaly_gan.config import ModelConfig, TrainConfig, ViewConfig
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.generation.snapshot import Snapshot, snapshot_bytes
from anomaly_gan.networks.generator import build_generator
from anomaly_gan.samples.index import DatasetIndex
from anomaly_gan.samples.sample import Sample, encode_sample
from anomaly_gan.training.loop import StepReport
from infra.cluster.ray_cluster import Capacity
from infra.errors import ClusterError
from infra.storage.protocol import Storage
from infra.storage.shards import write_shard
from jobs.generate.published import shard_name
from jobs.library.datasets.store import import_dataset, load_index
from jobs.record.manifest import OutputWriter
from jobs.record.status import JobState, JobStatus, job_key, load_status, save_status
from jobs.spec.specs import GenerateSpec, JobSpec
from tests.support.sources import MemoryTree, mvtec_files

RESOLUTION = 64
CLUSTER_URL = "http://127.0.0.1:8265"
TRAIN_JOB = "train-20260101-120000-ab12"
GENERATE_JOB = "generate-20260101-130000-cd34"
REPORT = StepReport(
    step=1,
    total_steps=4,
    nimg=2,
    losses=dict.fromkeys(AnomalyGan.terms, 1.0),
    images_per_sec=7.0,
    data_wait=0.25,
    learning_rate_factor=1.0,
    warnings=(),
    is_sample=False,
    is_checkpoint=False,
    is_scheduled=False,
    is_stopped=False,
)


@dataclass
class FakeCluster:
    """A `Cluster` that starts nothing.

    Attributes:
        jobs: id -> (entrypoint, environment) of what was submitted.
        states: id -> Ray's word and message; a job that was stopped gets STOPPED.
        refuses: the message with which it refuses everything; None = it does not.
        stored: names below jobs/<id>/ that the store held when the job was submitted.
    """

    storage: Storage | None = None
    url: str = CLUSTER_URL
    nodes: int = 1
    cpus: float = 4.0
    gpus: float = 0.0
    grows: bool = False
    refuses: str | None = None
    jobs: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)

    def capacity(self) -> Capacity:
        return Capacity(self.nodes, self.cpus, self.gpus, self.grows)

    def submit(self, job_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        if self.storage is not None:
            base = job_key(job_id, "")
            self.stored = [entry.key.removeprefix(base) for entry in self.storage.list(base)]
        self._refuse()
        if job_id in self.jobs:
            raise ClusterError(f"cluster {self.url}: refused job {job_id} (it was submitted before)")
        self.jobs[job_id] = (entrypoint, dict(environment))
        self.states[job_id] = ("PENDING", "")

    def job_state(self, job_id: str) -> tuple[str, str]:
        self._refuse()
        return self.states.get(job_id, ("UNKNOWN", ""))

    def stop(self, job_id: str) -> None:
        self._refuse()
        self.states[job_id] = ("STOPPED", "")

    def _refuse(self) -> None:
        if self.refuses is not None:
            raise ClusterError(self.refuses)


@dataclass
class EndingCluster(FakeCluster):
    """Its jobs have ended by the time that anybody looks."""

    end: JobState = JobState.SUCCEEDED

    def submit(self, job_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        super().submit(job_id, entrypoint, environment)
        assert self.storage is not None
        self.storage.write(f"jobs/{job_id}/logs/000001.log", b"at work\n")
        save_status(self.storage, load_status(self.storage, job_id).finished(self.end))


def put_dataset(
    storage: Storage, name: str = "tiles", resolution: int | None = RESOLUTION, crack: int = 4
) -> DatasetIndex:
    """A grey data set: 8 normal pictures, so many of `crack`, 4 of `hole`, each a group of its own."""
    tree = MemoryTree(mvtec_files(normal=8, crack=crack, hole=4))
    return import_dataset(storage, tree, name=name, fmt="mvtec", resolution=resolution).index


def put_model(
    storage: Storage,
    model_id: str = TRAIN_JOB,
    dataset: str = "tiles",
    class_name: str = "crack",
    *,
    window: bool = False,
    size: int = RESOLUTION,
    real: int | None = None,
) -> str:
    """An untrained, very small model of whole frames or windows; returns its id.

    Args:
        real: anomalous pictures that it says it has learnt from.
    """
    config = TrainConfig(model=ModelConfig(generator_widths=(8, 8)))
    if storage.exists(f"datasets/{dataset}/latest.json"):
        dataset = f"{dataset}@{load_index(storage, dataset).version}"
    record = {"job_id": model_id, "dataset": dataset, "nimg": 640, **({} if real is None else {"real": real})}
    view = ViewConfig(kind="window" if window else "whole", size=size)
    snapshot = Snapshot(build_generator(config.model), class_name, view, config, record)
    for name, data in zip((WEIGHTS, DESCRIPTION), snapshot_bytes(snapshot), strict=True):
        storage.write(f"models/{model_id}/{name}", data)
    return model_id


def put_status(
    storage: Storage, job_id: str = TRAIN_JOB, state: JobState = JobState.RUNNING, **changes: Any
) -> JobStatus:
    """A job's record; it was submitted at 1000 s, started at 1010 s, and has just been heard of."""
    kind = job_id.partition("-")[0]
    status = JobStatus(
        job_id=job_id, kind=kind, title="a title", state=state, submitted_at=1000.0, heartbeat_at=1000.0
    ).changed(started_at=1010.0, cluster=CLUSTER_URL, finished_at=1085.0 if state.is_final else None)
    status = status.model_copy(update=changes)
    save_status(storage, status)
    return status


def put_spec(storage: Storage, job_id: str, spec: JobSpec) -> None:
    storage.write(
        job_key(job_id, "spec.json"), json.dumps({"spec": spec.model_dump(mode="json"), "sources": {}}).encode()
    )


def put_results(storage: Storage, job_id: str, **outputs: bytes) -> None:
    """A job that succeeded with these outputs; `a__b` becomes a/b."""
    put_status(storage, job_id, JobState.SUCCEEDED)
    writer = OutputWriter(storage, job_id)
    for name, data in outputs.items():
        writer.write(name.replace("__", "/"), data)
    writer.commit()


def put_generated(storage: Storage, job_id: str = GENERATE_JOB, model: str = TRAIN_JOB) -> str:
    """A generate job that succeeded; returns its id."""
    put_spec(storage, job_id, GenerateSpec(model=model, count=2))
    put_results(storage, job_id, summary=b"{}")
    return job_id


def put_shards(storage: Storage, shards: Sequence[Sequence[Sample]], job_id: str = GENERATE_JOB) -> None:
    """A generate job that succeeded, and published these samples."""
    packed = [write_shard((sample.key, encode_sample(sample)) for sample in samples) for samples in shards]
    put_results(storage, job_id, **{shard_name(task): shard.data for task, shard in enumerate(packed)}, summary=b"{}")
