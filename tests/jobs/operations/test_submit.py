import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from anomaly_gan.config import MaskConfig
from anomaly_gan.generation.memory import MOST_AT_A_TIME
from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.errors import ClusterError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.completion import complete
from jobs.library.maskpools.store import full_name, load_pool_index
from jobs.operations.submit import check_cluster, gpu_hint, needed, submit
from jobs.record.context import context_from_plain, load_context, load_memory_estimate
from jobs.record.status import JobState, list_statuses, load_status
from jobs.run import parse_spec_uri
from jobs.spec.resolve import ResolvedSpec, resolve
from jobs.spec.specs import EvaluateSpec, GenerateSpec, TrainSpec, TuneSpec
from jobs.train.checkpoints import CheckpointStore
from tests.support.builders_jobs import (
    GENERATE_JOB,
    TRAIN_JOB,
    FakeCluster,
    put_dataset,
    put_generated,
    put_model,
    put_spec,
)
from tests.support.builders_masks import POOL, built, put_model_of_pool, put_pool
from tests.support.helpers import MemoryStorage

SMALL = {"train.batch_size": 2, "train.total_images": 4}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store=str(tmp_path / "store"))


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


def asked(kind: str = "train", **sets: Any) -> ResolvedSpec:
    """A resolved spec that names `tiles` and `crack`; `a__b=1` sets a.b."""
    required: dict[str, dict[str, Any]] = {
        "train": {"dataset": "tiles", "class_name": "crack", **SMALL},
        "tune": {"dataset": "tiles", "class_name": "crack", **SMALL},
        "generate": {"model": TRAIN_JOB},
        "evaluate": {"dataset": "tiles", "generated": GENERATE_JOB},
    }
    flags = required[kind] | {key.replace("__", "."): value for key, value in sets.items()}
    return resolve(kind, flags, environ={})


def completed(storage: Storage, kind: str = "train", **sets: Any) -> ResolvedSpec:
    return complete(asked(kind, **sets), storage)


def trained(resolved: ResolvedSpec) -> TrainSpec:
    assert isinstance(resolved.spec, TrainSpec)
    return resolved.spec


# --- what only the store knows


@pytest.mark.parametrize("kind", ["train", "tune"])
def test_version_view_and_gray_come_from_the_data_set(kind: str) -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    resolved = completed(storage, kind)
    spec = resolved.spec
    assert isinstance(spec, TrainSpec | TuneSpec)
    assert spec.dataset == f"tiles@{index.version}"
    assert (spec.view.kind, spec.view.size) == ("whole", 64)
    assert spec.train.model.gray is True
    assert {key: resolved.sources[key] for key in ("dataset", "view.size", "train.model.gray")} == {
        "dataset": "data set",
        "view.size": "data set",
        "train.model.gray": "data set",
    }


@pytest.mark.parametrize("kind", ["train", "tune"])
def test_the_preset_paper_trains_1000_epochs_of_the_data_set_at_hand(kind: str) -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    flags = {"dataset": "tiles", "class_name": "crack", "train.preset": "paper"}
    resolved = complete(resolve(kind, flags, environ={}), storage)
    assert isinstance(resolved.spec, TrainSpec | TuneSpec)
    assert resolved.spec.train.total_images == 1000 * index.counts["train"]["crack"] > 1
    assert resolved.sources["train.total_images"] == "data set"


@pytest.mark.parametrize("memory", [None, MemoryEstimate(1, 3, 2)])
def test_the_memory_estimate_is_kept_for_the_job_to_compare(memory: MemoryEstimate | None, settings: Settings) -> None:
    storage = open_storage(settings)
    put_dataset(storage)
    job_id = submit(completed(storage), settings, FakeCluster(), memory)
    assert load_memory_estimate(storage, job_id) == memory
    assert load_memory_estimate(storage, f"{job_id}/trials/a") is None


def test_a_length_that_was_asked_for_or_is_another_presets_stays() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    assert trained(completed(storage, train__preset="paper")).train.total_images == SMALL["train.total_images"]
    flags = {"dataset": "tiles", "class_name": "crack", "train.preset": "stable"}
    assert trained(complete(resolve("train", flags, environ={}), storage)).train.total_images == 40_000


def test_gray_that_was_asked_for_stays() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    resolved = completed(storage, train__model__gray=False)
    assert trained(resolved).train.model.gray is False and resolved.sources["train.model.gray"] == "flag"


def test_a_named_version_stays_that_version() -> None:
    storage = MemoryStorage()
    old = put_dataset(storage, resolution=64)
    new = put_dataset(storage, resolution=128)
    assert trained(completed(storage, dataset=f"tiles@{old.version}")).view.size == 64
    assert trained(completed(storage)).dataset == f"tiles@{new.version}"


def test_native_sizes_are_seen_through_windows_only() -> None:
    storage = MemoryStorage()
    put_dataset(storage, resolution=None)
    with pytest.raises(UsageError, match="tiles keeps native sizes, which differ; see it through windows"):
        completed(storage)
    assert trained(completed(storage, view__kind="window", view__size=64)).view.size == 64


def test_a_whole_view_has_the_size_of_the_data_set() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"view\.size: 128 px, data set tiles is 64 px; use that, or --window"):
        completed(storage, view__size=128)
    put_dataset(storage, "odd", resolution=100)
    with pytest.raises(UsageError, match="data set: view: size must be a power of two"):
        completed(storage, dataset="odd")


def test_an_unknown_data_set_is_not_found_with_those_there_are() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(NotFoundError, match="data set gone: not in memory://store; there are: tiles"):
        completed(storage, dataset="gone")
    with pytest.raises(NotFoundError, match="data set tiles@0123: not in"):
        completed(storage, dataset="tiles@0123")


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match="class_name: 'dent' is not in data set tiles; it has crack, hole"):
        completed(storage, class_name="dent")


def test_a_batch_that_the_workers_cannot_share_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"train\.batch_size: 5 pairs cannot be shared by 2 workers; use a multiple"):
        completed(storage, train__batch_size=5, resources__workers=2)
    with pytest.raises(UsageError, match="batch norm needs 2 pairs per worker and part, got 1"):
        completed(storage, resources__workers=2, train__model__generator_norm="batch")


def test_a_generator_that_is_too_deep_for_the_view_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"6 down steps do not fit a view of 64 px; name fewer widths"):
        completed(storage, train__model__generator_widths=[8] * 6)


def test_generation_needs_a_model_and_its_data_set() -> None:
    storage = MemoryStorage()
    with pytest.raises(NotFoundError, match=f"model {TRAIN_JOB}: not in memory://store; there are: none"):
        completed(storage, "generate")
    put_model(storage)
    with pytest.raises(NotFoundError, match="data set tiles: not in memory://store"):
        completed(storage, "generate")
    put_dataset(storage)
    spec = completed(storage, "generate", generation__batch_size=8).spec
    assert spec == asked("generate", generation__batch_size=8).spec


def test_a_forward_pass_takes_as_many_images_as_the_memory_has_room_for() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage)
    resolved = [completed(storage, "generate", generation__memory_gib=gib) for gib in (1e-9, 0.004, 2)]
    few, some, most = (one.spec.generation.batch_size for one in resolved if isinstance(one.spec, GenerateSpec))
    assert 1 == few < some < most == MOST_AT_A_TIME
    assert resolved[0].sources["generation.batch_size"] == "memory"


def test_evaluation_needs_results_of_a_generate_job() -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    put_model(storage)
    with pytest.raises(NotFoundError, match=f"job {GENERATE_JOB}: not in memory://store"):
        completed(storage, "evaluate")
    put_generated(storage)
    spec = completed(storage, "evaluate").spec
    assert isinstance(spec, EvaluateSpec) and spec.dataset == f"tiles@{index.version}"


def test_evaluation_with_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"^detector\.name: unknown detector, got 'yolo'; use one of mask_rcnn, "):
        completed(storage, "evaluate", detector__name="yolo")


def test_evaluation_of_a_job_of_another_kind_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage)
    storage.write(f"jobs/{GENERATE_JOB}/spec.json", json.dumps({"spec": asked().spec.model_dump()}).encode())
    with pytest.raises(UsageError, match=f"generated: job {GENERATE_JOB} is a train job; name a generate job"):
        completed(storage, "evaluate")


def test_evaluation_on_a_data_set_without_the_class_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage, class_name="dent")
    put_generated(storage)
    with pytest.raises(
        UsageError, match=f"tiles has no class 'dent', which job {GENERATE_JOB} made; it has crack, hole"
    ):
        completed(storage, "evaluate")


# --- going on from another job


def stopped_job(storage: Storage, path: Path, **sets: Any) -> str:
    """A train job of the smallest spec with these changes, and a checkpoint of step 2; returns its id."""
    put_spec(storage, TRAIN_JOB, completed(storage, **sets).spec)
    path.write_bytes(b"state")
    CheckpointStore(storage, f"jobs/{TRAIN_JOB}/checkpoints").save(2, path, 0.5)
    return TRAIN_JOB


@pytest.mark.parametrize(
    "resources",
    [{}, {"resources__workers": 2, "resources__cpus_per_worker": 3, "resources__max_failures": 0}],
    ids=["the same", "other resources"],
)
def test_a_job_of_the_same_spec_may_go_on_from_a_checkpoint(resources: dict[str, Any], tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    assert trained(completed(storage, resume=earlier, **resources)).resume == earlier


def test_a_job_may_go_on_from_one_that_itself_went_on(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    first = stopped_job(storage, tmp_path / "checkpoint.pt")
    second = "train-20260102-120000-ab12"
    put_spec(storage, second, completed(storage, resume=first).spec)
    CheckpointStore(storage, f"jobs/{second}/checkpoints").save(4, tmp_path / "checkpoint.pt", 0.5)
    assert trained(completed(storage, resume=second)).resume == second


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        ({"train__seed": 1}, "train.seed"),
        ({"train__loss__lambda_1": 0.5}, "train.loss.lambda_1"),
        ({"train__total_images": 8}, "train.total_images"),
        ({"train__model__generator_widths": [8, 8]}, "train.model.generator_widths"),
        ({"train__image_pool": 1, "train__augment__probability": 0.5}, "train.image_pool"),
        ({"class_name": "hole"}, "class_name"),
        ({"view__kind": "window", "view__size": 64}, "view.kind"),
    ],
)
def test_a_differing_value_is_refused_by_its_key(sets: dict[str, Any], key: str, tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError) as caught:
        completed(storage, resume=earlier, **sets)
    assert str(caught.value).startswith(
        f"resume: {key} differs from job {earlier}'s; only resources, train.compute and"
    )


def test_how_a_step_is_computed_and_when_it_is_told_may_change(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    changes: dict[str, Any] = {"train__compute__accumulate": 2, "train__log_every_steps": 3}
    assert trained(completed(storage, resume=earlier, **changes)).resume == earlier


def test_another_version_of_the_data_set_is_no_place_to_go_on(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    put_dataset(storage, resolution=128)
    with pytest.raises(UsageError, match=f"^resume: dataset differs from job {earlier}'s"):
        completed(storage, resume=earlier)


def test_a_job_of_another_kind_has_nothing_to_go_on_from() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage)
    with pytest.raises(UsageError, match=f"^resume: job {GENERATE_JOB} is a generate job; name a train job"):
        completed(storage, resume=GENERATE_JOB)


def test_a_job_without_a_checkpoint_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    storage.delete(f"jobs/{earlier}/checkpoints/00000002.pt")
    with pytest.raises(UsageError, match=f"^resume: job {earlier} has no checkpoint; leave it out to start anew"):
        completed(storage, resume=earlier)


def test_an_unknown_job_to_go_on_from_is_not_found() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(NotFoundError, match=TRAIN_JOB):
        completed(storage, resume=TRAIN_JOB)


# --- what the cluster can do


def test_a_local_store_is_refused_where_several_nodes_would_need_it(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    with pytest.raises(
        UsageError, match=r"store/?: a local folder, which the other 2 nodes of the cluster cannot see; use s3://"
    ):
        submit(completed(storage), settings, FakeCluster(nodes=3))
    assert list_statuses(storage) == []
    check_cluster(asked().spec, "s3://bucket/prefix", FakeCluster(nodes=3).capacity())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"resources__workers": 5}, "the job needs 5 CPUs, the cluster has 4; lower --workers"),
        ({"resources__cpus_per_worker": 8}, "the job needs 8 CPUs, the cluster has 4"),
        ({"resources__gpus_per_worker": 1}, "the job needs 1 GPUs, the cluster has 0"),
    ],
)
def test_more_than_the_cluster_has_is_refused_where_it_cannot_grow(sets: dict[str, Any], message: str) -> None:
    spec = asked(**sets).spec
    with pytest.raises(ClusterError, match=message):
        check_cluster(spec, "s3://bucket/prefix", FakeCluster().capacity())
    check_cluster(spec, "s3://bucket/prefix", FakeCluster(grows=True).capacity())


def test_a_search_needs_room_for_all_trials_at_a_time() -> None:
    spec = asked("tune", concurrent_trials=2, resources__workers=2, resources__gpus_per_worker=1).spec
    cpus, gpus = needed(spec)
    assert cpus == pytest.approx(4.2) and gpus == 4


# --- the submission


def test_the_record_is_in_the_store_before_the_cluster_hears_of_the_job(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster(storage)
    resolved = completed(storage)
    job_id = submit(resolved, settings, cluster)
    assert cluster.stored == ["spec.json", "status.json"]
    status = load_status(storage, job_id)
    assert (status.state, status.kind, status.cluster) == (JobState.PENDING, "train", cluster.url)
    assert status.title == f"{trained(resolved).dataset} crack"
    document = json.loads(storage.read(f"jobs/{job_id}/spec.json"))
    assert document["sources"] == resolved.sources
    assert document["versions"] == {"ray": ray.__version__, "torch": torch.__version__}
    assert load_context(settings, job_id).spec == resolved.spec


def test_the_entrypoint_names_the_uri_of_the_spec(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster()
    job_id = submit(completed(storage), settings, cluster)
    python, *words, uri = shlex.split(cluster.jobs[job_id][0])
    assert (python, words) == (sys.executable, ["-m", "jobs.run"])
    assert uri == f"{settings.store}/jobs/{job_id}/spec.json"
    assert parse_spec_uri(uri) == (settings.store, job_id)


def test_a_configured_cluster_runs_its_own_python(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    cluster = FakeCluster()
    job_id = submit(completed(storage), settings.model_copy(update={"cluster": cluster.url}), cluster)
    assert cluster.jobs[job_id][0].startswith("python -m jobs.run ")


def test_the_environment_of_a_job_holds_no_credential(
    settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_dataset(storage)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "a-secret")
    cluster = FakeCluster()
    job_id = submit(completed(storage), settings, cluster)
    entrypoint, environment = cluster.jobs[job_id]
    assert environment["AGAN_STORE"] == settings.store
    assert not any(name.startswith("AWS_") or "TOKEN" in name for name in environment)
    kept = [entrypoint, json.dumps(environment), *(storage.read(entry.key).decode() for entry in storage.list("jobs/"))]
    assert not any("a-secret" in text for text in kept)


def test_a_refused_submission_is_recorded_as_failed(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    with pytest.raises(ClusterError, match="the head node is full"):
        submit(completed(storage), settings, FakeCluster(refuses="the head node is full"))
    (status,) = list_statuses(storage)
    assert (status.state, status.error) == (JobState.FAILED, "the head node is full")


def test_the_context_of_a_job_crosses_processes_as_plain_values(settings: Settings, storage: Storage) -> None:
    put_dataset(storage)
    job_id = submit(completed(storage), settings, FakeCluster())
    context = load_context(settings, job_id)
    again = context_from_plain(json.loads(json.dumps(context.to_plain())))
    assert (again.job_id, again.spec, again.settings) == (job_id, context.spec, settings)
    assert again.storage.uri == storage.uri


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("train", "tiles@{} crack"),
        ("tune", "8 trials, tiles@{} crack"),
        ("generate", f"64 images by {TRAIN_JOB}"),
        ("evaluate", f"{GENERATE_JOB} on tiles@{{}}"),
    ],
)
def test_a_job_has_a_title(kind: str, title: str, settings: Settings, storage: Storage) -> None:
    version = put_dataset(storage).version
    put_model(storage)
    put_generated(storage)
    job_id = submit(completed(storage, kind), settings, FakeCluster())
    assert job_id.startswith(f"{kind}-")
    assert load_status(storage, job_id).title == title.format(version)


def test_an_evaluation_on_another_version_than_the_model_learnt_from_is_refused() -> None:
    """Another version may put pictures into the test split that taught the generator."""
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage, dataset="tiles@000000000000")
    put_generated(storage)
    with pytest.raises(UsageError, match=r"was trained on tiles@000000000000.*use tiles@000000000000"):
        completed(storage, "evaluate")


def test_a_cluster_that_may_grow_needs_a_store_that_all_nodes_see() -> None:
    spec = asked().spec
    with pytest.raises(UsageError, match="nodes that join the cluster cannot see"):
        check_cluster(spec, "/tmp/store", FakeCluster(grows=True).capacity())
    check_cluster(spec, "s3://bucket/store", FakeCluster(grows=True, nodes=2).capacity())


def test_idle_gpus_are_worth_a_word() -> None:
    assert "--gpus-per-worker 1" in (gpu_hint(asked().spec, FakeCluster(gpus=2).capacity()) or "")
    assert gpu_hint(asked(resources__gpus_per_worker=1).spec, FakeCluster(gpus=2).capacity()) is None
    assert gpu_hint(asked().spec, FakeCluster().capacity()) is None


# --- a mask pool

RULES = "crack: {pose: fixed, max_parts: 3, rationality: 0.5}\nhole: {max_parts: 1}"


@pytest.fixture
def pooled(tmp_path: Path) -> MemoryStorage:
    """A store with a data set and a pool of it that has rules of its own for `crack`."""
    storage = MemoryStorage()
    put_dataset(storage)
    (tmp_path / "rules.yaml").write_text(RULES)
    put_pool(storage, tmp_path, rules=tmp_path / "rules.yaml")
    return storage


def pool_name(storage: Storage, name: str = POOL) -> str:
    return full_name(load_pool_index(storage, name))


@pytest.mark.parametrize("kind", ["train", "tune"])
def test_a_pool_is_named_with_its_version_and_gives_the_rules_that_nobody_set(kind: str, pooled: MemoryStorage) -> None:
    resolved = completed(pooled, kind, mask_pool=POOL, train__masks__max_parts=4)
    spec = resolved.spec
    assert isinstance(spec, TrainSpec | TuneSpec)
    assert spec.mask_pool == pool_name(pooled)
    masks = spec.train.masks
    assert (masks.pose, masks.max_parts, masks.rationality) == ("fixed", 4, 0.5)
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["mask_pool"] == sources["train.masks.pose"] == sources["train.masks.rationality"] == "mask pool"
    assert sources["train.masks.max_parts"] == "flag"


def test_a_named_version_of_a_pool_stays_that_version(pooled: MemoryStorage) -> None:
    older = pool_name(pooled)
    newer = full_name(built(pooled).index)
    assert trained(completed(pooled, mask_pool=POOL)).mask_pool == newer != older
    spec = trained(completed(pooled, mask_pool=older))
    assert spec.mask_pool == older and spec.train.masks.pose == "fixed"


def test_without_a_pool_no_rule_changes_and_rationality_is_refused(pooled: MemoryStorage) -> None:
    assert trained(completed(pooled)).mask_pool is None
    put_model(pooled)
    for kind, section in (("train", "train.masks"), ("tune", "train.masks"), ("generate", "masks")):
        with pytest.raises(UsageError) as caught:
            completed(pooled, kind, **{f"{section}.rationality": 0.5})
        assert str(caught.value) == (
            f"{section}.rationality: nothing is known of where class crack lies; build a mask pool with"
            " `agan masks build` and name it with --mask-pool, or set it to 0"
        )


def test_a_pool_that_does_not_fit_is_refused(pooled: MemoryStorage) -> None:
    with pytest.raises(NotFoundError, match="mask pool gone: not in memory://store; there are: drawn"):
        completed(pooled, mask_pool="gone")
    put_dataset(pooled, "other")
    with pytest.raises(UsageError, match=r"mask pool drawn: was built from tiles@\w+, not from other@"):
        completed(pooled, dataset="other", mask_pool=POOL)
    put_dataset(pooled, "large", resolution=128)
    with pytest.raises(UsageError, match="mask pool drawn: is of 64 px, data set large of 128 px; build it for that"):
        completed(pooled, dataset="large", mask_pool=POOL)


def test_a_rule_that_contradicts_the_pools_is_refused(pooled: MemoryStorage) -> None:
    with pytest.raises(
        UsageError, match=r"^mask pool: train\.masks: min_parts must not be above max_parts, got 2 and 1"
    ):
        completed(pooled, mask_pool=POOL, class_name="hole", train__masks__min_parts=2)


def test_generation_takes_the_pool_and_the_rules_of_its_model(pooled: MemoryStorage) -> None:
    index = load_pool_index(pooled, POOL)
    put_model_of_pool(pooled, index, MaskConfig(max_parts=5, rationality=0.25))
    built(pooled)  # a newer version, which the model did not see
    resolved = completed(pooled, "generate", masks__area="low")
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec) and spec.mask_pool == full_name(index)
    assert (spec.masks.max_parts, spec.masks.rationality, spec.masks.area) == (5, 0.25, "low")
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["mask_pool"] == sources["masks.max_parts"] == "model" and sources["masks.area"] == "flag"


def test_generation_with_a_pool_of_its_own_takes_that_pools_rules(pooled: MemoryStorage) -> None:
    put_model_of_pool(pooled, built(pooled, name="other").index, MaskConfig(max_parts=5))
    resolved = completed(pooled, "generate", mask_pool=POOL, masks__rationality=0)
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec) and spec.mask_pool == pool_name(pooled)
    assert (spec.masks.pose, spec.masks.max_parts, spec.masks.rationality) == ("fixed", 3, 0)
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["masks.pose"] == "mask pool" and sources["masks.rationality"] == "flag"


def test_generation_by_a_model_whose_pool_is_gone_is_refused(pooled: MemoryStorage) -> None:
    index = load_pool_index(pooled, POOL)
    put_model_of_pool(pooled, index, MaskConfig())
    pooled.delete(f"maskpools/drawn/{index.version}/index.json")
    with pytest.raises(NotFoundError, match=f"mask pool {full_name(index)}: not in memory://store"):
        completed(pooled, "generate")


def test_a_run_goes_on_with_the_pool_it_began_with(pooled: MemoryStorage, tmp_path: Path) -> None:
    earlier = stopped_job(pooled, tmp_path / "checkpoint.pt", mask_pool=POOL)
    assert trained(completed(pooled, resume=earlier, mask_pool=POOL)).resume == earlier
    built(pooled, name="other")
    for other in ({}, {"mask_pool": "other"}):
        with pytest.raises(UsageError, match=f"^resume: mask_pool differs from job {earlier}'s"):
            completed(pooled, resume=earlier, **other)
