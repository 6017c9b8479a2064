from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from anomaly_gan.masks.drawn.anchors import match_anchors, read_anchors_csv
from anomaly_gan.render.dataset import (
    CLASSES,
    RenderedSample,
    render_samples,
    sample_scene,
    write_mvtec,
)
from infra.errors import UsageError

PER_CLASS = 4
SIZE = 128


@pytest.fixture(scope="module")
def samples() -> list[RenderedSample]:
    return list(render_samples(normal=6, per_class=PER_CLASS, size=SIZE, seed=3))


def _anomalous(samples: list[RenderedSample]) -> list[RenderedSample]:
    return [sample for sample in samples if sample.class_name is not None]


def _mask_of(sample: RenderedSample) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert sample.mask is not None
    return np.asarray(sample.mask, dtype=np.uint8)


def _same(one: RenderedSample, other: RenderedSample) -> bool:
    same_mask = (
        other.mask is None if one.mask is None else other.mask is not None and np.array_equal(one.mask, other.mask)
    )
    return (one.key, one.group) == (other.key, other.group) and np.array_equal(one.image, other.image) and same_mask


def test_the_same_seed_renders_the_same_samples_whatever_the_counts(samples: list[RenderedSample]) -> None:
    by_key = {sample.key: sample for sample in samples}
    again = list(render_samples(normal=2, per_class=2, classes=("screw_b", "paper_scrap"), size=SIZE, seed=3))
    assert len(again) == 6
    assert all(_same(sample, by_key[sample.key]) for sample in again)


def test_another_seed_renders_other_pictures(samples: list[RenderedSample]) -> None:
    other = next(render_samples(normal=1, per_class=0, size=SIZE, seed=4))
    assert not np.array_equal(other.image, samples[0].image)


def test_every_sample_has_its_own_key_and_the_requested_count(samples: list[RenderedSample]) -> None:
    names = [sample.class_name for sample in samples]
    assert names.count(None) == 6
    assert all(names.count(name) == PER_CLASS for name in CLASSES)
    assert len({sample.key for sample in samples}) == len(samples)


def test_images_are_grey_bytes_of_the_requested_size(samples: list[RenderedSample]) -> None:
    assert all(sample.image.shape == (SIZE, SIZE) and sample.image.dtype == np.uint8 for sample in samples)


@pytest.mark.parametrize("size", [64, 129, 1024])
def test_every_class_renders_at_any_size_from_64_to_1024(size: int) -> None:
    for sample in render_samples(normal=1, per_class=1, size=size):
        assert sample.image.shape == (size, size)
        assert sample.mask is None or (sample.mask.shape == (size, size) and sample.mask.any())


def test_a_normal_sample_has_no_mask_and_shows_its_scene(samples: list[RenderedSample]) -> None:
    normal = [sample for sample in samples if sample.class_name is None]
    for index, sample in enumerate(normal):
        assert sample.mask is None
        assert np.array_equal(sample.image, sample_scene(None, index, size=SIZE, seed=3).photograph())


def test_a_mask_is_binary(samples: list[RenderedSample]) -> None:
    for sample in _anomalous(samples):
        mask = _mask_of(sample)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}


def test_a_mask_covers_exactly_the_changed_pixels(samples: list[RenderedSample]) -> None:
    for number, sample in enumerate(_anomalous(samples)):
        scene = sample_scene(sample.class_name, number % PER_CLASS, size=SIZE, seed=3)
        assert np.array_equal(sample.image != scene.photograph(), _mask_of(sample) == 255)


def test_an_anomaly_is_small_but_visible(samples: list[RenderedSample]) -> None:
    for number, sample in enumerate(_anomalous(samples)):
        inside = _mask_of(sample) == 255
        normal = sample_scene(sample.class_name, number % PER_CLASS, size=SIZE, seed=3).photograph()
        change = np.abs(sample.image.astype(int) - normal.astype(int))[inside].mean()
        assert 0.003 <= inside.mean() <= 0.05, sample.key
        assert change > 15, sample.key


@pytest.mark.parametrize("class_name", ["screw_a", "screw_b"])
def test_a_screw_anomaly_sits_at_a_bolt_of_its_scene(class_name: str) -> None:
    for index, sample in enumerate(render_samples(normal=0, per_class=4, classes=(class_name,), size=SIZE)):
        scene = sample_scene(class_name, index, size=SIZE)
        scale = SIZE / scene.canvas.shape[0]
        centres = [np.floor(bolt.centre * scale).astype(int) for bolt in scene.bolts]
        inside = [(x, y) for x, y in centres if 0 <= x < SIZE and 0 <= y < SIZE]
        assert any(_mask_of(sample)[y, x] == 255 for x, y in inside)


def test_the_bolts_are_at_least_four_percent_of_the_width() -> None:
    scene = sample_scene(None, 0, size=SIZE)
    assert all(bolt.radius >= 0.04 * scene.canvas.shape[0] for bolt in scene.bolts)


def test_a_cloth_strip_leaves_the_cable_it_is_caught_behind_unchanged() -> None:
    for index, sample in enumerate(render_samples(normal=0, per_class=4, classes=("cloth_strip",), size=SIZE)):
        scene = sample_scene("cloth_strip", index, size=SIZE)
        cable = cv2.resize(scene.cable_cover, (SIZE, SIZE), interpolation=cv2.INTER_AREA) == 255
        assert not (_mask_of(sample)[cable] == 255).any()


def test_normals_and_every_class_come_from_several_camera_positions(samples: list[RenderedSample]) -> None:
    for name in (None, *CLASSES):
        assert len({sample.group for sample in samples if sample.class_name == name}) >= 4


def test_pictures_of_one_camera_position_are_more_alike_than_pictures_of_two() -> None:
    normal = list(render_samples(normal=32, per_class=0, size=64))
    first, second = normal[:16], normal[16:]
    distance = np.array([[np.abs(a.image.astype(int) - b.image).mean() for b in second] for a in first])
    assert [sample.group for sample in first] == [sample.group for sample in second]
    assert distance.diagonal().mean() < 0.7 * distance.mean()
    assert distance.diagonal().min() > 0


def test_write_mvtec_lays_out_pictures_masks_and_groups(samples: list[RenderedSample], tmp_path: Path) -> None:
    root = tmp_path / "demo"
    assert write_mvtec(samples, root) == len(samples)
    for sample in samples:
        name = sample.class_name
        folder = "train/good" if name is None else f"test/{name}"
        stored = cv2.imread(str(root / folder / f"{sample.key}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(np.asarray(stored), sample.image)
        if name is not None:
            mask = cv2.imread(str(root / f"ground_truth/{name}/{sample.key}_mask.png"), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(np.asarray(mask), _mask_of(sample))


def test_groups_csv_names_every_picture_with_its_class_and_group(samples: list[RenderedSample], tmp_path: Path) -> None:
    write_mvtec(samples, tmp_path)
    with (tmp_path / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["group"] for row in rows] == [sample.group for sample in samples]
    assert [row["class"] for row in rows] == [sample.class_name or "good" for sample in samples]
    assert all((tmp_path / row["path"]).is_file() for row in rows)
    assert len(rows) == len(list(tmp_path.glob("train/*/*.png"))) + len(list(tmp_path.glob("test/*/*.png")))


def test_write_mvtec_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_mvtec(render_samples(normal=1, per_class=0, size=64), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_anchors_are_the_screws_that_a_missing_one_can_replace(samples: list[RenderedSample], tmp_path: Path) -> None:
    write_mvtec(samples, tmp_path)
    text = (tmp_path / "anchors.csv").read_text()
    anchors = read_anchors_csv(text, "anchors.csv", CLASSES)
    normals = [sample for sample in samples if sample.class_name is None]
    sources = {sample.key: (f"train/good/{sample.key}.png", SIZE, SIZE) for sample in normals}
    matched = match_anchors(anchors, sources)
    assert set(matched) == {sample.key for sample in normals}
    missing = [_mask_of(sample) for sample in samples if sample.class_name == "screw_a"]
    widest = max(cv2.boundingRect(mask)[2] for mask in missing)
    for sample in normals:
        assert len(matched[sample.key]) == len(sample.screws) > 0
        for class_name, left, top, width, height in matched[sample.key]:
            assert class_name == "screw_a"
            assert 0 <= left < left + width <= SIZE and 0 <= top < top + height <= SIZE
            assert 0.5 * widest < width < 2 * widest
            assert width == pytest.approx(height, abs=0.2)


def test_write_mvtec_refuses_a_root_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        write_mvtec([], file)


def test_an_unknown_class_is_refused_at_the_call() -> None:
    with pytest.raises(UsageError, match="'rust' cannot be rendered"):
        render_samples(normal=1, per_class=1, classes=("rust",))


def test_a_repeated_class_is_refused_at_the_call() -> None:
    with pytest.raises(UsageError, match="repeats a class"):
        render_samples(normal=1, per_class=1, classes=("screw_a", "screw_a"))


def test_a_size_below_64_is_refused_at_the_call() -> None:
    with pytest.raises(UsageError, match="size: 63 px is too small"):
        render_samples(normal=1, per_class=1, size=63)


@pytest.mark.parametrize(("normal", "per_class", "seed"), [(-1, 1, 0), (1, -1, 0), (1, 1, -1)])
def test_a_negative_count_or_seed_is_refused_at_the_call(normal: int, per_class: int, seed: int) -> None:
    with pytest.raises(UsageError, match="-1 is negative"):
        render_samples(normal=normal, per_class=per_class, seed=seed)
