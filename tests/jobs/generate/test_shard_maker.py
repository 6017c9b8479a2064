"""A generate job without a cluster: tasks made in this process, published, and made again."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from anomaly_gan.samples.sample import decode_sample
from infra.errors import StorageError, UsageError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.local import LocalStorage
from infra.storage.shards import read_shard
from jobs.generate.job import ShardActor, generate, publish
from jobs.generate.published import SHARD_PREFIX
from jobs.generate.shard_maker import ShardMaker
from jobs.generate.task_plan import plan_of
from jobs.library.datasets.store import load_index
from jobs.record.context import JobContext, context_from_plain
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import JobState, job_key
from jobs.results.rebuild import rebuild
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import committed, open_plan, read_commits
from jobs.tasks.ledger import Ledger
from tests.support.builders_jobs import GENERATE_JOB, put_dataset, put_model, put_spec, put_status

COUNT, PER_TASK = 7, 3


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    put_dataset(storage)
    put_model(storage)
    return storage


def context(storage: LocalStorage, job_id: str = GENERATE_JOB, **changes: Any) -> JobContext[GenerateSpec]:
    wanted = {"model": "train-20260101-120000-ab12", "count": COUNT, "images_per_shard": PER_TASK}
    generation = {"batch_size": 2, **changes.pop("generation", {})}
    spec = GenerateSpec.model_validate(wanted | {"generation": generation} | changes)
    put_spec(storage, job_id, spec)
    settings = Settings(store=storage.uri)
    return JobContext(job_id, spec, settings, storage)


def run(job: JobContext[GenerateSpec], order: list[int]) -> None:
    """Do the tasks in this order, and publish."""
    maker = ShardMaker(job)
    done = {task: maker.make(task)[0] for task in order}
    publish(job, [done[task] for task in sorted(done)])
    put_status(job.storage, job.job_id, JobState.SUCCEEDED)


def shards(job: JobContext[GenerateSpec]) -> dict[str, str]:
    return {one.name: one.sha256 for one in load_manifest(job.storage, job.job_id).outputs}


def test_the_manifest_is_the_same_whatever_the_order_and_the_attempts(store: LocalStorage) -> None:
    first = context(store, "generate-1")
    run(first, [0, 1, 2])
    second = context(store, "generate-2")
    run(second, [2, 0, 1, 0, 2])
    assert shards(first) == shards(second)
    assert len(store.list(job_key("generate-2", "out/parts/"))) == 3
    assert committed(store, "generate-2") == {0, 1, 2}


def test_an_attempt_that_comes_late_returns_the_one_that_counts(store: LocalStorage) -> None:
    job = context(store, "generate-late")
    first, late = ShardMaker(job), ShardMaker(context_from_plain(job.to_plain(), GenerateSpec))
    counts = first.make(1)[0]
    assert late.make(1)[0] == counts == next(read_commits(store, "generate-late", [1]))


def test_every_image_is_there_once_with_the_provenance_that_an_auditor_needs(store: LocalStorage) -> None:
    job = context(store, "generate-audit")
    run(job, [0, 1, 2])
    index = load_index(store, "tiles")
    digests = {entry.key: entry.image_sha256 for entry in index.samples}
    samples = [
        decode_sample(key, members)
        for output in load_manifest(store, "generate-audit").outputs
        if output.name.startswith(SHARD_PREFIX)
        for key, members in read_shard(read_output(store, "generate-audit", output), output.name)
    ]
    assert [sample.meta["index"] for sample in samples] == list(range(COUNT))
    weights = store.read("models/train-20260101-120000-ab12/generator.safetensors")
    for sample in samples:
        assert sample.meta["normal_sha256"] == digests[sample.meta["normal"]]
        assert sample.meta["model_sha256"] == sha256(weights)
        assert (sample.meta["model"], sample.meta["mask_pool"]) == ("train-20260101-120000-ab12", None)
        assert sample.meta["dataset"] == f"tiles@{index.version}"
        left, top, width, height = sample.meta["boxes"][0]
        assert sample.masks["crack"][top : top + height, left : left + width].any()
    summary = json.loads(store.read(job_key("generate-audit", "out/summary.json")))
    assert summary["images"] == COUNT
    changes = [sample.meta["measures"]["in_mask_change"] for sample in samples]
    assert summary["measures"]["in_mask_change"] == {"mean": pytest.approx(sum(changes) / COUNT), "n": COUNT}


@pytest.mark.parametrize("index", [0, 2, 3, COUNT - 1])
def test_an_image_is_rebuilt_byte_for_byte(store: LocalStorage, index: int) -> None:
    job = context(store, f"generate-rebuild-{index}")
    run(job, [0, 1, 2])
    made = rebuild(job.settings, job.job_id, index)
    assert made.key == f"gen-{index:08d}"
    assert made.differing == ()


def test_a_rebuilt_image_that_differs_is_told_by_member(store: LocalStorage) -> None:
    # without the gate, which would plan other masks for other images
    job = context(store, "generate-other", generation={"quality": {"gate": False}})
    run(job, [0, 1, 2])
    put_model(store, "train-20260101-120000-ab12")  # other weights under the same id
    made = rebuild(job.settings, job.job_id, 1)
    assert "image.png" in made.differing and "mask.crack.png" not in made.differing


def test_rebuild_refuses_what_was_not_made(store: LocalStorage) -> None:
    job = context(store, "generate-few")
    run(job, [0, 1, 2])
    with pytest.raises(UsageError, match=f"index: job generate-few has images 0 to {COUNT - 1}, got {COUNT}"):
        rebuild(job.settings, job.job_id, COUNT)


def test_only_what_changes_images_changes_the_plan(store: LocalStorage) -> None:
    plan = plan_of(context(store).spec, ["a"])
    more = {"workers": 4, "max_failures": 9}
    assert plan_of(context(store, resources=more).spec, ["a"]) == plan
    assert plan_of(context(store).spec, ["b"]) != plan
    assert plan_of(context(store, generation={"seed": 1}).spec, ["a"]) != plan
    assert plan_of(context(store, resources={"cpus_per_worker": 2}).spec, ["a"]) != plan


def ready(job: JobContext[GenerateSpec]) -> None:
    """What a worker of the job answers first."""
    actor: Any = ShardActor(job.to_plain())
    actor.ready()


def test_a_worker_of_other_versions_takes_no_part_in_a_job(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = context(store, "generate-versions")
    open_plan(store, job.job_id, ShardMaker(job).tasks)
    ready(job)
    monkeypatch.setattr("jobs.generate.task_plan.version", lambda _: "0.0")
    with pytest.raises(UsageError, match=r"was begun with another plan \(versions\)"):
        ready(job)


def test_a_job_does_not_go_on_with_another_model_under_the_same_id(store: LocalStorage) -> None:
    put_model(store, "train-20260301-120000-0000")
    job = context(store, "generate-model", model="train-20260301-120000-0000")
    open_plan(store, job.job_id, ShardMaker(job).tasks)
    put_model(store, "train-20260301-120000-0000")
    with pytest.raises(UsageError, match=r"was begun with another plan \(models_sha256\)"):
        generate(job)


def test_a_part_that_vanished_is_made_anew_before_anything_is_published(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, job = context(store, "generate-clean"), context(store, "generate-vanished")
    run(first, [0, 1, 2])
    maker, rounds = ShardMaker(job), list[Sequence[int]]()

    def make(_context: JobContext[GenerateSpec], ledger: Ledger, todo: Sequence[int]) -> None:
        rounds.append(todo)
        made = [maker.make(task)[0] for task in todo]
        for one in made:
            ledger.add(one)
        if len(rounds) == 1:
            store.delete(job_key(job.job_id, made[1].part))

    monkeypatch.setattr("jobs.generate.job._make", make)
    generate(job)
    assert rounds == [[0, 1, 2], [1]]
    assert shards(job) == shards(first)


def test_a_job_whose_parts_always_vanish_ends_with_one_sentence(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.generate.job._make", lambda *_: None)
    with pytest.raises(StorageError, match="job generate-gone: parts of it vanish from the store"):
        generate(context(store, "generate-gone"))
