"""A generate job's images as files for other tools, from the shards of its manifest."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomaly_gan.formats.writing.exporters import EXPORTERS
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, NotFoundError, UsageError
from jobs.generate.published import published_shards
from jobs.record.status import JobState
from jobs.results.export import export
from tests.support.builders_export import crack, disc, read_back, sample
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_results, put_shards, put_status
from tests.support.helpers import MemoryStorage

FORMATS = sorted(EXPORTERS)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def made(number: int, kept: bool | None = None) -> Sample:
    """`kept` is what the quality gate said; None = there was none."""
    one = sample(f"gen-{number:08d}", crack=crack(1 + number % 3))
    return one if kept is None else replace(one, meta={"quality": {"kept": kept}})


def put_made(storage: MemoryStorage) -> list[Sample]:
    """Three shards of two samples each."""
    samples = [made(number) for number in range(6)]
    put_shards(storage, [samples[:2], samples[2:4], samples[4:]])
    return samples


@pytest.mark.parametrize("fmt", ["coco", "mvtec", "labelme"])
def test_every_image_of_every_shard_comes_back_with_its_mask(storage: MemoryStorage, tmp_path: Path, fmt: str) -> None:
    samples = put_made(storage)
    done = export(storage, GENERATE_JOB, fmt, tmp_path / "out")
    assert (done.counts.images, done.counts.classes, done.rejected) == (6, {"crack": 6}, 0)
    pictures = read_back(tmp_path / "out", fmt)
    assert pictures.keys() == {one.key for one in samples}
    for one in samples:
        np.testing.assert_array_equal(pictures[one.key].image, one.image)
        np.testing.assert_array_equal(pictures[one.key].masks["crack"], one.masks["crack"])


def test_the_order_is_that_of_the_shards(storage: MemoryStorage, tmp_path: Path) -> None:
    samples = put_made(storage)
    export(storage, GENERATE_JOB, "coco", tmp_path / "out")
    document = json.loads((tmp_path / "out" / "annotations.json").read_bytes())
    assert [image["file_name"] for image in document["images"]] == [f"images/{one.key}.png" for one in samples]


def test_progress_is_told_after_each_shard(storage: MemoryStorage, tmp_path: Path) -> None:
    put_made(storage)
    told: list[tuple[int, int]] = []
    export(storage, GENERATE_JOB, "mvtec", tmp_path / "out", on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


# --- the quality gate


def test_what_the_gate_did_not_keep_is_left_out_only_where_asked_for(storage: MemoryStorage, tmp_path: Path) -> None:
    put_shards(storage, [[made(0, kept=True), made(1, kept=False)], [made(2, kept=False), made(3, kept=True)]])
    everything = export(storage, GENERATE_JOB, "labelme", tmp_path / "all")
    assert (everything.counts.images, everything.rejected) == (4, 2)
    kept = export(storage, GENERATE_JOB, "labelme", tmp_path / "kept", kept_only=True)
    assert (kept.counts.images, kept.rejected) == (2, 2)
    assert sorted(path.stem for path in (tmp_path / "kept").glob("*.json")) == ["gen-00000000", "gen-00000003"]


def test_a_job_of_which_nothing_is_kept_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    put_shards(storage, [[made(0, kept=False)], [made(1, kept=False)]])
    with pytest.raises(DataError, match="none of its 2 images is kept by the quality gate; leave --kept-only away"):
        export(storage, GENERATE_JOB, "coco", tmp_path / "out", kept_only=True)
    assert list(tmp_path.iterdir()) == []


# --- what is refused


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_has_not_succeeded_is_refused_with_its_state(
    storage: MemoryStorage, tmp_path: Path, state: JobState
) -> None:
    put_status(storage, GENERATE_JOB, state)
    with pytest.raises(NotFoundError, match=f"job {GENERATE_JOB}: has no results, it is {state}"):
        export(storage, GENERATE_JOB, "coco", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_is_not_there_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="job gone: not in memory://store"):
        export(storage, "gone", "coco", tmp_path / "out")


def test_a_job_of_another_kind_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    put_results(storage, TRAIN_JOB, history=b"[]")
    with pytest.raises(UsageError, match=f"^job {TRAIN_JOB}: is a train job; name a generate job$"):
        export(storage, TRAIN_JOB, "coco", tmp_path / "out")


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_damaged_shard_is_one_error_and_nothing_is_visible(storage: MemoryStorage, tmp_path: Path, fmt: str) -> None:
    put_made(storage)
    last = published_shards(storage, GENERATE_JOB)[-1].key(GENERATE_JOB)
    storage.objects[last] = storage.objects[last][:-1] + b"?"
    with pytest.raises(DataError, match=r"generated-00000002\.tar: sha256 differs from the manifest"):
        export(storage, GENERATE_JOB, fmt, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_gone_is_one_error_and_nothing_is_visible(storage: MemoryStorage, tmp_path: Path) -> None:
    put_made(storage)
    storage.delete(published_shards(storage, GENERATE_JOB)[1].key(GENERATE_JOB))
    with pytest.raises(NotFoundError, match="no such object in the store"):
        export(storage, GENERATE_JOB, "yolo", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_samples_that_would_write_over_each_other_are_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    put_shards(storage, [[made(0)], [made(0)]])
    with pytest.raises(DataError, match="two samples have one key"):
        export(storage, GENERATE_JOB, "labelme", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- memory


PER_SHARD, SIDE = 12, 160


def noisy(number: int) -> Sample:
    """A picture that does not become smaller as PNG."""
    image = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[: disc(9).shape[0], : disc(9).shape[1]] = disc(9)
    return Sample(f"gen-{number:08d}", image, {"crack": mask})


def peak_bytes(storage: MemoryStorage, folder: Path, fmt: str) -> int:
    tracemalloc.start()
    try:
        export(storage, GENERATE_JOB, fmt, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_memory_is_that_of_one_shard_however_many_there_are(tmp_path: Path, fmt: str) -> None:
    def shards(count: int) -> MemoryStorage:
        storage = MemoryStorage()
        put_shards(storage, [[noisy(PER_SHARD * i + j) for j in range(PER_SHARD)] for i in range(count)])
        return storage

    few, many = shards(2), shards(8)
    export(few, GENERATE_JOB, fmt, tmp_path / "imports-first")
    growth = peak_bytes(many, tmp_path / "many", fmt) - peak_bytes(few, tmp_path / "few", fmt)
    assert growth < PER_SHARD * SIDE * SIDE / 4
