import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.errors import ClusterError, UsageError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.operations.submit import check_cluster, gpu_hint, submit
from jobs.record.context import context_from_plain, load_context, load_memory_estimate
from jobs.record.status import JobState, list_statuses, load_status
from jobs.run import parse_spec_uri
from jobs.spec.specs import EvaluateSpec, GenerateSpec, JobSpec, TrainSpec, TuneSpec
from tests.support.builders_jobs import (
    GENERATE_JOB,
    TRAIN_JOB,
    FakeCluster,
    put_dataset,
    put_generated,
    put_model,
)
from tests.support.specs import asked, completed


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=str(tmp_path / "store"))


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.mark.parametrize("memory", [None, MemoryEstimate(1, 3, 2)])
def test_the_memory_estimate_is_kept_for_the_job_to_compare(memory: MemoryEstimate | None, settings: Settings) -> None:
    storage = open_storage(settings)
    put_dataset(storage)
    job_id = submit(completed(storage, TrainSpec), settings, FakeCluster(), memory)
    assert load_memory_estimate(storage, job_id) == memory
    assert load_memory_estimate(storage, f"{job_id}/trials/a") is None


def test_a_local_store_is_refused_where_several_nodes_would_need_it(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    with pytest.raises(
        UsageError, match=r"store/?: a local folder, which the other 2 nodes of the cluster cannot see; use s3://"
    ):
        submit(completed(storage, TrainSpec), settings, FakeCluster(nodes=3))
    assert list_statuses(storage) == []
    check_cluster(asked(TrainSpec).spec, "s3://bucket/prefix", FakeCluster(nodes=3).capacity())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"resources__workers": 5}, "the job needs 5 CPUs, the cluster has 4; lower --workers"),
        ({"resources__cpus_per_worker": 8}, "the job needs 8 CPUs, the cluster has 4"),
        ({"resources__gpus_per_worker": 1}, "the job needs 1 GPUs, the cluster has 0"),
    ],
)
def test_more_than_the_cluster_has_is_refused_where_it_cannot_grow(sets: dict[str, Any], message: str) -> None:
    spec = asked(TrainSpec, **sets).spec
    with pytest.raises(ClusterError, match=message):
        check_cluster(spec, "s3://bucket/prefix", FakeCluster().capacity())
    check_cluster(spec, "s3://bucket/prefix", FakeCluster(grows=True).capacity())


def test_the_record_is_in_the_store_before_the_cluster_hears_of_the_job(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster(storage)
    resolved = completed(storage, TrainSpec)
    job_id = submit(resolved, settings, cluster)
    assert cluster.stored == ["spec.json", "status.json"]
    status = load_status(storage, job_id)
    assert (status.state, status.kind, status.cluster) == (JobState.PENDING, "train", cluster.url)
    assert status.title == f"{resolved.spec.dataset} crack"
    document = json.loads(storage.read(f"jobs/{job_id}/spec.json"))
    assert document["sources"] == resolved.sources
    assert document["versions"] == {"ray": ray.__version__, "torch": torch.__version__}
    assert load_context(settings, job_id).spec == resolved.spec


def test_the_entrypoint_names_the_uri_of_the_spec(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster()
    job_id = submit(completed(storage, TrainSpec), settings, cluster)
    python, *words, uri = shlex.split(cluster.jobs[job_id][0])
    assert (python, words) == (sys.executable, ["-m", "jobs.run"])
    assert uri == f"{settings.store}/jobs/{job_id}/spec.json"
    assert parse_spec_uri(uri) == (settings.store, job_id)


def test_a_configured_cluster_runs_its_own_python(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster()
    job_id = submit(completed(storage, TrainSpec), settings.model_copy(update={"cluster": cluster.url}), cluster)
    assert cluster.jobs[job_id][0].startswith("python -m jobs.run ")


def test_the_environment_of_a_job_holds_no_credential(
    settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_dataset(storage)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    cluster = FakeCluster()
    job_id = submit(completed(storage, TrainSpec), settings, cluster)
    entrypoint, environment = cluster.jobs[job_id]
    assert environment["AGAN_STORE"] == settings.store
    assert not any(name.startswith("AWS_") or "TOKEN" in name for name in environment)
    kept = [entrypoint, json.dumps(environment), *(storage.read(entry.key).decode() for entry in storage.list("jobs/"))]
    assert not any("a-secret" in text for text in kept)


def test_a_refused_submission_is_recorded_as_failed(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    with pytest.raises(ClusterError, match="the head node is full"):
        submit(completed(storage, TrainSpec), settings, FakeCluster(refuses="the head node is full"))
    (status,) = list_statuses(storage)
    assert (status.state, status.error) == (JobState.FAILED, "the head node is full")


def test_the_context_of_a_job_crosses_processes_as_plain_values(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    job_id = submit(completed(storage, TrainSpec), settings, FakeCluster())
    context = load_context(settings, job_id)
    again = context_from_plain(json.loads(json.dumps(context.to_plain())), TrainSpec)
    assert (again.job_id, again.spec, again.settings) == (job_id, context.spec, settings)
    assert again.storage.uri == storage.uri


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        (TrainSpec, "tiles@{} crack"),
        (TuneSpec, "8 trials, tiles@{} crack"),
        (GenerateSpec, f"64 images by {TRAIN_JOB}"),
        (EvaluateSpec, f"{GENERATE_JOB} on tiles@{{}}"),
    ],
)
def test_a_job_has_a_title(spec: type[JobSpec], title: str, settings: Settings, storage: Storage) -> None:
    version = put_dataset(storage).version
    put_model(storage)
    put_generated(storage)
    job_id = submit(completed(storage, spec), settings, FakeCluster())
    assert job_id.startswith(f"{spec.kind_name()}-")
    assert load_status(storage, job_id).title == title.format(version)


def test_a_cluster_that_may_grow_needs_a_store_that_all_nodes_see() -> None:
    spec = asked(TrainSpec).spec
    with pytest.raises(UsageError, match="nodes that join the cluster cannot see"):
        check_cluster(spec, "/tmp/store", FakeCluster(grows=True).capacity())
    check_cluster(spec, "s3://bucket/store", FakeCluster(grows=True, nodes=2).capacity())


def test_idle_gpus_are_worth_a_word() -> None:
    assert "--gpus-per-worker 1" in (gpu_hint(asked(TrainSpec).spec, FakeCluster(gpus=2).capacity()) or "")
    assert gpu_hint(asked(TrainSpec, resources__gpus_per_worker=1).spec, FakeCluster(gpus=2).capacity()) is None
    assert gpu_hint(asked(TrainSpec).spec, FakeCluster().capacity()) is None
