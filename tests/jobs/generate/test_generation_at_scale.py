"""What a generate job keeps, foretells and hands on, without a cluster."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_gan.evaluation.arms import parse_arm
from anomaly_gan.generation.gate import LIMITS
from anomaly_gan.masks.placing.parts import PlacementError
from anomaly_gan.masks.placing.planning import MaskPlanner, PlannedMask
from anomaly_gan.samples.sample import Sample, decode_sample
from infra.errors import NotFoundError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from infra.storage.shards import read_shard
from jobs.generate.forecast import TRIED, forecast
from jobs.generate.job import publish
from jobs.generate.published import SHARD_PREFIX
from jobs.generate.shard_maker import ShardMaker
from jobs.library.models.store import load_model, newest_model
from jobs.record.context import JobContext
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import JobState, job_key
from jobs.spec.specs import EvaluateSpec, GenerateSpec
from jobs.study.grid import grid_of_evaluation
from jobs.study.material import StoredMaterial
from tests.support.builders_jobs import RESOLUTION, TRAIN_JOB, put_dataset, put_model, put_spec, put_status

COUNT, PER_TASK = 6, 4
ALL = "generated:generate-1"


@pytest.fixture
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    put_dataset(storage)
    put_model(storage)
    return storage


def spec_of(**changes: Any) -> GenerateSpec:
    return GenerateSpec.model_validate({"model": TRAIN_JOB, "count": COUNT, "images_per_shard": PER_TASK} | changes)


def run(storage: LocalStorage, spec: GenerateSpec, job_id: str = "generate-1") -> list[Sample]:
    """Do all of a job in this process; its samples."""
    put_spec(storage, job_id, spec)
    job = JobContext(job_id, spec, Settings(store=storage.uri), storage)
    maker = ShardMaker(job)
    publish(job, [maker.make(task)[0] for task in range(-(-spec.count // spec.images_per_shard))])
    put_status(storage, job_id, JobState.SUCCEEDED)
    return [
        decode_sample(key, members)
        for output in load_manifest(storage, job_id).outputs
        if output.name.startswith(SHARD_PREFIX)
        for key, members in read_shard(read_output(storage, job_id, output), output.name)
    ]


def summary(storage: LocalStorage, job_id: str = "generate-1") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(storage.read(job_key(job_id, "out/summary.json")))
    return told


def test_the_summary_counts_what_is_kept_and_why_the_rest_is_not(storage: LocalStorage) -> None:
    samples = run(storage, spec_of(generation={"quality": {"tries": 3}}))
    judged = [sample.meta["quality"] for sample in samples]
    counts = summary(storage)["quality"]
    assert counts["kept"] == sum(one["kept"] for one in judged)
    assert counts["tries"] == sum(len(one["tries"]) for one in judged) > COUNT  # the generator has learnt nothing
    for name in LIMITS:
        assert counts[f"broke {name}"] == sum(name in failed for one in judged for failed in one["tries"])
    assert set(summary(storage)["measures"]) == set(samples[0].meta["measures"])


def test_a_picture_without_room_is_passed_over_and_counted(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = run(storage, spec_of(generation={"quality": {"tries": 1}}))
    full = roomy[2].meta["normal"]

    def plan(planner: MaskPlanner, normal: Sample, rng: np.random.Generator) -> PlannedMask:
        if normal.key == full:
            raise PlacementError(f"picture {full}: has no room")
        return had_room(planner, normal, rng)

    had_room = MaskPlanner.plan
    monkeypatch.setattr(MaskPlanner, "plan", plan)
    spec = spec_of(generation={"quality": {"tries": 1}})
    samples, again = (run(storage, spec, job_id) for job_id in ("generate-2", "generate-3"))
    assert [one.meta for one in samples] == [one.meta for one in again]
    assert full not in {one.meta["normal"] for one in samples}
    counted = [one.meta["quality"]["unplaced"] for one in samples]
    assert counted[2] >= 1 and counted == [one.meta["unplaced"] for one in samples]
    assert summary(storage, "generate-2")["quality"]["unplaced"] == sum(counted)


def test_pictures_without_room_end_the_job_with_the_reason(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*_: object) -> PlannedMask:
        raise PlacementError("picture x: has no room")

    monkeypatch.setattr(MaskPlanner, "plan", plan)
    with pytest.raises(PlacementError, match="picture x: has no room"):
        run(storage, spec_of())


def test_without_the_gate_nothing_is_judged(storage: LocalStorage) -> None:
    samples = run(storage, spec_of(generation={"quality": {"gate": False}}))
    assert all("quality" not in sample.meta for sample in samples)
    assert summary(storage)["quality"] == {}


def shown(storage: LocalStorage) -> Sequence[Sample]:
    """What a detector sees of the generated images."""
    asked = EvaluateSpec(dataset="tiles", generated="generate-1", arms=("generated",))
    return StoredMaterial(storage, grid_of_evaluation(storage, asked)).of(parse_arm(ALL)).added[ALL]


def test_a_detector_learns_from_what_is_kept(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_by = spec_of(generation={"quality": {"gate": False}})
    run(storage, made_by)
    assert len(shown(storage)) == COUNT

    def judged(key: str, members: dict[str, bytes]) -> Sample:
        sample = decode_sample(key, members)
        return replace(sample, meta={**sample.meta, "quality": {"kept": sample.meta["index"] in kept}})

    monkeypatch.setattr("jobs.study.material.decode_sample", judged)
    kept = {1, 4}
    assert {one.meta["index"] for one in shown(storage)} == kept
    kept = set()
    assert len(shown(storage)) == COUNT
    told = f"warning: the quality gate keeps none of {COUNT} images of job generate-1; all are used"
    assert told in capsys.readouterr().out


def test_a_detector_sees_frames_through_the_models_view(tmp_path_factory: pytest.TempPathFactory) -> None:
    storage = LocalStorage(tmp_path_factory.mktemp("frames"))
    put_dataset(storage, resolution=128)
    put_model(storage, window=True)
    made_by = spec_of(generation={"output": "frame", "quality": {"gate": False}})
    samples = run(storage, made_by)
    assert all(sample.image.shape == sample.masks["crack"].shape == (128, 128) for sample in samples)
    for sample in samples:
        left, top, width, height = sample.meta["boxes"][0]
        assert sample.masks["crack"][top : top + height, left : left + width].any()
    seen = shown(storage)
    assert all(one.image.shape == (RESOLUTION, RESOLUTION) and one.masks["crack"].any() for one in seen)


def test_a_forecast_is_that_of_the_job_and_writes_nothing(storage: LocalStorage) -> None:
    before = [entry.key for entry in storage.list("")]
    spec = spec_of(count=1_000_000, images_per_shard=1000, resources={"workers": 4, "gpus_per_worker": 1})
    told = forecast(spec, Settings(store=storage.uri))
    assert [entry.key for entry in storage.list("")] == before
    assert (told.images, told.tasks) == (1_000_000, 1000)
    run(storage, spec_of(count=TRIED, images_per_shard=TRIED))
    [shard] = [one for one in load_manifest(storage, "generate-1").outputs if one.name.startswith(SHARD_PREFIX)]
    assert told.bytes_per_image == shard.size_bytes // TRIED
    assert told.size_bytes == told.bytes_per_image * 1_000_000
    assert told.seconds == pytest.approx(1_000_000 / told.images_per_sec / 4)
    assert told.gpu_hours == pytest.approx(told.seconds * 4 / 3600)
    assert forecast(spec_of(count=2), Settings(store=storage.uri)).gpu_hours == 0


def test_the_newest_trained_model_of_a_class_is_found(storage: LocalStorage) -> None:
    put_model(storage, "train-20260301-120000-0000")
    put_model(storage, "train-20260401-120000-0000", class_name="hole")
    put_dataset(storage, "other")
    put_model(storage, "train-20260501-120000-0000", dataset="other")
    assert newest_model(storage, "crack", None) == "train-20260501-120000-0000"
    assert newest_model(storage, "crack", "tiles") == "train-20260301-120000-0000"
    version = load_model(storage, TRAIN_JOB, torch.device("cpu")).record["dataset"]
    assert newest_model(storage, "hole", version) == "train-20260401-120000-0000"
    with pytest.raises(NotFoundError, match=r"class hole: no model trained on other makes it; see `agan models list`"):
        newest_model(storage, "hole", "other")


def test_relit_images_differ_from_those_that_are_not_and_are_the_same_again(storage: LocalStorage) -> None:
    light = {"light": {"max_gain": 0.4}, "quality": {"gate": False}}
    lit, again = (run(storage, spec_of(generation=light), job) for job in ("generate-1", "generate-2"))
    plain = run(storage, spec_of(generation={"quality": {"gate": False}}), "generate-3")
    for one, same, other in zip(lit, again, plain, strict=True):
        assert np.array_equal(one.image, same.image) and not np.array_equal(one.image, other.image)
        assert np.array_equal(one.masks["crack"], other.masks["crack"])
