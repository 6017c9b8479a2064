"""Several models in one generate job: an anomaly of each in every image."""

import json
from typing import Any

import numpy as np
import pytest

from anomaly_gan.samples.provenance import ADDED, anomalies
from anomaly_gan.samples.sample import Sample, decode_sample
from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.generate.job import publish
from jobs.generate.published import is_kept, published_shards, read_members
from jobs.generate.shard_maker import ShardMaker
from jobs.kinds import complete
from jobs.library.datasets.store import import_dataset
from jobs.library.models.files import model_digest
from jobs.record.context import JobContext
from jobs.record.status import JobState, job_key
from jobs.results.export import export
from jobs.results.rebuild import rebuild
from jobs.spec.resolve import resolve
from jobs.spec.specs import GenerateSpec
from tests.support.builders_jobs import put_dataset, put_model, put_spec, put_status
from tests.support.sources import MemoryTree, blob, gray, png

CRACKS, HOLES = "train-20260101-120000-0001", "train-20260101-120000-0002"
JOB = "generate-20260101-130000-0003"
COUNT, PER_TASK = 6, 4


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    put_dataset(storage)
    put_model(storage, CRACKS)
    put_model(storage, HOLES, class_name="hole")
    return storage


def spec_of(storage: LocalStorage, **changes: Any) -> GenerateSpec:
    flags = {
        "model": CRACKS,
        "added": [{"model": HOLES}],
        "count": COUNT,
        "images_per_shard": PER_TASK,
        "masks.max_parts": 1,
        "generation.light.max_gain": 0.3,
        "generation.quality.tries": 2,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    return complete(resolve(GenerateSpec, flags, environ={}), storage).spec


@pytest.fixture(scope="module")
def samples(storage: LocalStorage) -> list[Sample]:
    """All of a job, published."""
    spec = spec_of(storage)
    put_spec(storage, JOB, spec)
    job = JobContext(JOB, spec, Settings(store=storage.uri), storage)
    maker = ShardMaker(job)
    publish(job, [maker.make(task)[0] for task in range(-(-COUNT // PER_TASK))])
    put_status(storage, JOB, JobState.SUCCEEDED)
    return [decode_sample(key, members) for key, members in read_members(storage, JOB, published_shards(storage, JOB))]


def test_every_image_has_an_anomaly_of_each_class_clear_of_the_other(samples: list[Sample]) -> None:
    assert len(samples) == COUNT
    for sample in samples:
        assert list(sample.masks) == ["crack", "hole"]
        crack, hole = np.argwhere(sample.masks["crack"]), np.argwhere(sample.masks["hole"])
        apart = np.abs(crack[:, None] - hole).max(2).min()
        assert apart > 4  # the feather, so that neither touches what the other drew


def test_each_anomaly_is_told_with_its_own_model_place_and_verdict(
    samples: list[Sample], storage: LocalStorage
) -> None:
    for sample in samples:
        first, second = anomalies(sample.meta)
        for told, class_name, model in ((first, "crack", CRACKS), (second, "hole", HOLES)):
            assert (told["class"], told["model"]) == (class_name, model)
            assert told["model_sha256"] == model_digest(storage, model)
            assert told["mask_area_px"] == np.count_nonzero(sample.masks[class_name])
            assert told["normal"] == first["normal"]
            assert len(told["boxes"]) >= 1 and len(told["placements"]) == 1
            assert told["measures"]["in_mask_change"] is not None and told["quality"]["tries"]
        assert first["light"] is None and second["light"] is not None  # once, over all of it
        assert is_kept(sample) == (first["quality"]["kept"] and second["quality"]["kept"])


def test_the_summary_names_all_models_and_counts_images_that_are_kept_with_all_their_anomalies(
    samples: list[Sample], storage: LocalStorage
) -> None:
    told = json.loads(storage.read(job_key(JOB, "out/summary.json")))
    assert (told["models"], told["classes"]) == ([CRACKS, HOLES], ["crack", "hole"])
    assert told["images"] == COUNT
    assert told["quality"]["kept"] == sum(is_kept(sample) for sample in samples)
    tries = [one for sample in samples for each in anomalies(sample.meta) for one in each["quality"]["tries"]]
    assert told["quality"]["tries"] == len(tries)


def test_an_image_is_that_of_its_models_one_after_the_other(storage: LocalStorage) -> None:
    """Without light the anomaly of the first stays as its own job makes it, and pixels beside both stay as they are."""
    bare: dict[str, Any] = {"generation__light__max_gain": 0.0, "generation__quality__gate": False}
    made = []
    for added in ([], [{"model": HOLES}]):
        spec = spec_of(storage, added=added, **bare)
        maker = ShardMaker(JobContext("generate-x", spec, Settings(store=storage.uri), storage))
        made.append([one.sample for one in maker.images(range(PER_TASK))])
    for alone, mixed in zip(*made, strict=True):
        assert np.array_equal(alone.masks["crack"], mixed.masks["crack"])
        differs = np.argwhere(alone.image.reshape(*alone.image.shape[:2], -1).max(2) != mixed.image)
        hole = np.argwhere(mixed.masks["hole"])
        assert len(differs) > 0
        assert np.abs(differs[:, None] - hole).max(2).min(1).max() <= 4
        assert ADDED not in alone.meta


def test_a_mixed_image_is_rebuilt_byte_for_byte(samples: list[Sample], storage: LocalStorage) -> None:
    for index in (1, COUNT - 1):
        assert rebuild(Settings(store=storage.uri), JOB, index).differing == ()


def test_both_classes_are_exported(samples: list[Sample], storage: LocalStorage, tmp_path: Any) -> None:
    export(storage, JOB, "coco", tmp_path / "coco")
    text = (tmp_path / "coco" / "annotations.json").read_text()
    assert '"crack"' in text and '"hole"' in text


def test_windows_are_mixed_in_whole_pictures_alone(storage: LocalStorage) -> None:
    shots = {f"train/good/{i:03d}.png": png(gray(120, 160, seed=i)) for i in range(3)}
    for number, name in enumerate(("crack", "hole")):
        shots[f"test/{name}/0.png"] = png(gray(120, 160, seed=10 + number))
        shots[f"test/{name}/1.png"] = png(gray(120, 160, seed=20 + number))
        shots |= {f"ground_truth/{name}/{i}_mask.png": png(blob(120, 160)) for i in range(2)}
    import_dataset(storage, MemoryTree(shots), name="native", fmt="mvtec", resolution=None)
    put_model(storage, "w1", "native", window=True)
    put_model(storage, "w2", "native", class_name="hole", window=True)
    with pytest.raises(UsageError, match="to mix them add --output frame"):
        spec_of(storage, model="w1", added=[{"model": "w2"}])
    spec = spec_of(storage, model="w1", added=[{"model": "w2"}], generation__output="frame")
    maker = ShardMaker(JobContext("generate-y", spec, Settings(store=storage.uri), storage))
    for one in maker.images(range(3)):
        assert set(one.sample.masks) == {"crack", "hole"}
        assert all(mask.shape == one.sample.image.shape[:2] for mask in one.sample.masks.values())
