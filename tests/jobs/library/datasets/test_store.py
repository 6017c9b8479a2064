import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_gan.drawing.sheets import GAP_PX, LABEL_PX
from anomaly_gan.formats.reading.source import keys_for
from anomaly_gan.samples.sample import encode_png
from infra.errors import DataError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.shards import read_shard, write_shard
from infra.storage.sources import FsspecTree
from jobs.library.datasets.sheet import draw_sheet
from jobs.library.datasets.store import (
    ImportResult,
    check_dataset,
    import_dataset,
    list_datasets,
    load_index,
    load_samples,
)
from tests.support.helpers import TEST_DATA, MemoryStorage
from tests.support.sources import MemoryTree, blob, gray, mvtec_files, png

TILES = TEST_DATA / "magnetic_tile"


def good_files() -> dict[str, bytes]:
    return mvtec_files(normal=8, crack=4, hole=4)


def run(files: dict[str, bytes] | None = None, storage: MemoryStorage | None = None, **more: Any) -> ImportResult:
    options: dict[str, Any] = {"name": "tiles", "fmt": "mvtec", "resolution": None, **more}
    storage = MemoryStorage() if storage is None else storage
    return import_dataset(storage, MemoryTree(good_files() if files is None else files), **options)


def imported(**more: Any) -> tuple[MemoryStorage, ImportResult]:
    storage = MemoryStorage()
    return storage, run(storage=storage, **more)


def test_import_writes_shards_index_and_the_pointer_to_the_version() -> None:
    storage, result = imported()
    version = result.index.version
    assert sorted(storage.objects) == sorted(
        [
            f"datasets/tiles/{version}/index.json",
            f"datasets/tiles/{version}/test-000000.tar",
            f"datasets/tiles/{version}/train-000000.tar",
            "datasets/tiles/latest.json",
        ]
    )
    assert json.loads(storage.objects["datasets/tiles/latest.json"]) == {"version": version}
    assert result.index.counts == {
        "train": {"normal": 6, "crack": 3, "hole": 3},
        "test": {"normal": 2, "crack": 1, "hole": 1},
    }
    assert result.index.gray and result.index.classes == ("crack", "hole")
    assert result.warnings == [] and not result.already_there


def test_the_pointer_is_written_after_everything_it_points_to(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = MemoryStorage()
    write = storage.write

    def fail_at_pointer(key: str, data: bytes) -> None:
        if key.endswith("latest.json"):
            raise OSError("power cut")
        write(key, data)

    monkeypatch.setattr(storage, "write", fail_at_pointer)
    with pytest.raises(OSError, match="power cut"):
        run(storage=storage)
    assert len(storage.objects) == 3
    with pytest.raises(NotFoundError):
        load_index(storage, "tiles")


def test_a_second_import_is_byte_identical_and_says_so() -> None:
    storage, first = imported()
    before = dict(storage.objects)
    second = run(storage=storage)
    assert storage.objects == before
    assert second.already_there and second.index == first.index


def test_another_seed_or_source_is_another_version_and_both_stay_readable() -> None:
    storage, first = imported()
    second = run(good_files() | {"train/good/new.png": png(gray(seed=99))}, storage=storage)
    assert first.index.version != second.index.version != run(seed=1).index.version
    assert load_index(storage, "tiles") == second.index
    assert load_index(storage, f"tiles@{first.index.version}") == first.index


def test_offsets_in_the_index_point_at_the_samples() -> None:
    storage, result = imported()
    for entry in result.index.samples:
        shard = storage.objects[f"datasets/tiles/{result.index.version}/{entry.shard}"]
        assert shard[entry.offset :].startswith(f"{entry.key}.".encode())


def test_load_samples_gives_the_pictures_and_masks_of_a_split_in_index_order() -> None:
    storage, result = imported()
    train = load_samples(storage, result.index, split="train")
    assert [sample.key for sample in train] == [entry.key for entry in result.index.select(split="train")]
    cracks = load_samples(storage, result.index, split=None, classes=["crack"], normal=False)
    assert [list(sample.masks) for sample in cracks] == [["crack"]] * 4
    np.testing.assert_array_equal(cracks[0].masks["crack"], blob() > 0)
    normals = load_samples(storage, result.index, split="test", classes=(), normal=True)
    assert len(normals) == 2 and all(sample.is_normal for sample in normals)
    with pytest.raises(UsageError, match="has no class dent, only crack, hole"):
        load_samples(storage, result.index, split=None, classes=["dent"])


def test_load_samples_refuses_a_changed_shard() -> None:
    storage, result = imported()
    storage.objects[f"datasets/tiles/{result.index.version}/train-000000.tar"] += b"\0"
    with pytest.raises(DataError, match=r"data set tiles: train-000000.tar: sha256 differs"):
        load_samples(storage, result.index, split="train")


def test_resizing_and_native_sizes_are_noted_in_the_index() -> None:
    native = run().index
    assert native.resolution is None and {(e.width, e.height) for e in native.samples} == {(32, 24)}
    resized = run(resolution=16).index
    assert resized.resolution == 16 and {(e.width, e.height) for e in resized.samples} == {(16, 16)}


def test_groups_of_a_csv_in_the_tree_or_beside_it_never_part(tmp_path: Path) -> None:
    files = good_files()
    lines = [f"{path},{int(path[-5]) // 2}-{path.split('/')[1]}" for path in files if "ground" not in path]
    table = "\n".join(["path,tile", *lines]).encode()
    (tmp_path / "g.csv").write_bytes(table)
    inside = run(files | {"g.csv": table}, groups="g.csv:tile").index
    outside = run(files, groups=f"{tmp_path}/g.csv:tile").index
    assert inside == outside
    splits: dict[str, set[str]] = {}
    for entry in inside.samples:
        splits.setdefault(entry.group, set()).add(entry.split)
    assert len(splits) == 8 and all(len(found) == 1 for found in splits.values())


def test_a_picture_that_the_group_expression_does_not_match_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"train/good/odd.png: has no group"):
        run(good_files() | {"train/good/odd.png": png(gray(seed=9))}, groups=r"(\d+)\.png")


def test_bad_items_are_refused_together_each_with_its_file() -> None:
    files = good_files() | {"train/good/003.png": b"x", "ground_truth/crack/001_mask.png": png(blob(level=0))}
    with pytest.raises(DataError) as caught:
        run(files, max_bad=1)
    first, *rest = str(caught.value).split("\n  ")
    assert first == "memory://source: 2 bad items, allowed are 1; mend them, or leave them out with --max-bad 2"
    assert [line.split(":")[0] for line in rest] == ["ground_truth/crack/001_mask.png", "train/good/003.png"]


def test_up_to_max_bad_items_are_left_out_listed_and_counted() -> None:
    storage = MemoryStorage()
    files = good_files() | {"train/good/003.png": b"x"}
    result = run(files, storage, max_bad=1)
    assert [entry.path for entry in result.skipped] == ["train/good/003.png"]
    assert result.skipped[0].reason.startswith("train/good/003.png: not a readable picture")
    assert sum(counts["normal"] for counts in result.index.counts.values()) == 7
    assert load_index(storage, "tiles").skipped == result.skipped


def test_nothing_is_written_when_an_import_is_refused() -> None:
    storage = MemoryStorage()
    with pytest.raises(DataError, match="no normal pictures"):
        run(mvtec_files(normal=0, crack=4), storage)
    with pytest.raises(DataError, match="class crack: has only one group"):
        run(mvtec_files(normal=4, crack=1), storage)
    assert storage.objects == {}


def test_labels_of_one_class_name_are_refused_by_file() -> None:
    files = mvtec_files(normal=4, **{"a b": 2, "a_b": 2})
    with pytest.raises(DataError, match=r"test/a_b/000.png: labels 'a b' and 'a_b' both become class a_b"):
        run(files)


def test_doubts_are_warned_of_and_nothing_is_left_out() -> None:
    files = good_files() | {
        "notes/photo.png": png(gray()),
        "train/good/rgb.png": png(np.dstack([gray()] * 3)),
    }
    files |= {f"train/good/twin{i}.png": png(gray(seed=5)) for i in range(8)}
    result = run(files)
    assert result.warnings[0] == "memory://source: left out, pictures that belong to no item: 1 (notes/photo.png)"
    assert "grey and colour" in result.warnings[1]
    assert "are the same picture in both splits; give --groups" in result.warnings[2]
    assert not result.index.gray and len(result.index.samples) == 25


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "Tiles"}, "data set name"),
        ({"name": "../x"}, "data set name"),
        ({"fmt": "tfrecord"}, "unknown format"),
        ({"resolution": 8}, "--resolution: 16 to 4096 pixels or native, got 8"),
        ({"test_fraction": 1.0}, "--test-fraction"),
        ({"max_bad": -1}, "--max-bad"),
        ({"groups": "("}, "neither a CSV file nor a regular expression"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(**wrong)


def test_names_that_are_too_long_for_a_disk_are_imported() -> None:
    files = {
        path.replace("000", "n" * 240).replace("001", "n" * 240 + "m"): data for path, data in good_files().items()
    }
    index = run(files).index
    assert len(index.samples) == 16 and len({entry.key.lower() for entry in index.samples}) == 16
    assert max(len(entry.key) for entry in index.samples) < 200


def test_keys_that_differ_by_case_only_stay_apart_on_any_disk() -> None:
    keys = keys_for(["a/X.png", "a/x.png", "a/y.png"])
    assert len({key.lower() for key in keys.values()}) == 3 and keys["a/y.png"] == "a-y"


def test_progress_counts_every_item() -> None:
    seen: list[tuple[int, int]] = []
    run(on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 16) for i in range(1, 17)]


def test_a_name_that_is_not_there_lists_those_that_are() -> None:
    storage, _ = imported()
    run(storage=storage, name="other")
    assert [index.name for index in list_datasets(storage)] == ["other", "tiles"]
    with pytest.raises(NotFoundError, match=r"data set gone: not in memory://store; there are: other, tiles"):
        load_index(storage, "gone")
    with pytest.raises(NotFoundError, match="tiles@000000000000"):
        load_index(storage, "tiles@000000000000")
    with pytest.raises(NotFoundError, match="there are: none"):
        load_index(MemoryStorage(), "tiles")


def test_a_damaged_pointer_or_index_is_refused() -> None:
    storage, result = imported()
    storage.objects[f"datasets/tiles/{result.index.version}/index.json"] = b"{}"
    with pytest.raises(DataError, match=r"index.json: name: Field required"):
        load_index(storage, "tiles")
    storage.objects["datasets/tiles/latest.json"] = b"["
    with pytest.raises(DataError, match=r"latest.json is damaged"):
        load_index(storage, "tiles")


def test_check_finds_nothing_wrong_with_a_fresh_import() -> None:
    storage, _ = imported()
    report = check_dataset(storage, "tiles")
    assert (report.problems, report.samples, report.shards) == ([], 16, 2)


def damaged(change: Any) -> list[str]:
    """Problems that a check finds after `change` was applied to the train shard's samples."""
    storage, result = imported()
    key = f"datasets/tiles/{result.index.version}/train-000000.tar"
    samples = dict(read_shard(storage.objects[key], "x"))
    change(samples)
    storage.objects[key] = write_shard(samples.items()).data
    problems = check_dataset(storage, "tiles").problems
    assert problems[0] == "train-000000.tar: sha256 differs from the index; the shard was changed"
    return problems[1:]


def a_crack(samples: dict[str, dict[str, bytes]]) -> tuple[str, dict[str, bytes]]:
    return next((key, members) for key, members in samples.items() if "crack" in key)


def test_check_names_the_sample_whose_image_was_changed() -> None:
    def change(samples: dict[str, dict[str, bytes]]) -> None:
        samples["train-good-000"]["image.png"] = encode_png(gray(seed=77))

    (problem,) = [text for text in damaged(change) if "offset" not in text]
    assert problem.startswith("train-000000.tar: sample train-good-000: image_sha256 is ")


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("mask.crack.png", None, "has no mask.crack.png"),
        ("mask.dent.png", b"", "has mask.dent.png, which the index does not list"),
        ("mask.crack.png", encode_png(blob(level=0)), "the mask of crack is empty"),
        ("mask.crack.png", encode_png(blob(level=200)), "mask is not binary"),
        ("mask.crack.png", encode_png(blob(10, 20)), "size (20, 10) differs from the image's (32, 24)"),
        ("mask.crack.png", encode_png(255 - blob()), "mask_area_px is {'crack': 720}"),
        ("image.png", b"broken", "not a PNG"),
        ("meta.json", b"{", "cannot be decoded"),
        ("meta.json", b'{"group": "other", "source": "x"}', "group is other"),
    ],
)
def test_check_names_a_broken_member(member: str, data: bytes | None, message: str) -> None:
    broken = []

    def change(samples: dict[str, dict[str, bytes]]) -> None:
        key, members = a_crack(samples)
        broken.append(key)
        if data is None:
            del members[member]
        else:
            members[member] = data

    problems = damaged(change)
    assert any(f"sample {broken[0]}" in text and message in text for text in problems), problems


def test_check_finds_missing_and_unlisted_samples_and_shards() -> None:
    def change(samples: dict[str, dict[str, bytes]]) -> None:
        samples["stranger"] = samples.pop("train-good-000")

    problems = damaged(change)
    assert "train-000000.tar: sample stranger is not in the index, or there twice" in problems
    assert "train-000000.tar: sample train-good-000 is missing" in problems
    storage, result = imported()
    del storage.objects[f"datasets/tiles/{result.index.version}/test-000000.tar"]
    assert any("test-000000.tar: no such object" in text for text in check_dataset(storage, "tiles").problems)


def test_check_finds_an_index_that_was_changed_by_hand() -> None:
    storage, result = imported()
    entry = result.index.samples[0]
    group = result.index.select(split="test")[0].group
    changed = result.index.model_copy(
        update={
            "samples": (entry.model_copy(update={"group": group}), *result.index.samples[1:-1]),
        }
    )
    storage.objects[f"datasets/tiles/{result.index.version}/index.json"] = changed.model_dump_json().encode()
    problems = check_dataset(storage, "tiles").problems
    assert any("its content is not that of version" in text for text in problems)
    assert any("counts differ" in text for text in problems)
    assert f"index.json: group {group!r} stands in train and in test" in problems
    assert "index.json: test-000000.tar has 4 samples, 3 are listed" in problems


def test_a_second_import_mends_a_damaged_data_set() -> None:
    storage, result = imported()
    del storage.objects[f"datasets/tiles/{result.index.version}/test-000000.tar"]
    run(storage=storage)
    assert check_dataset(storage, "tiles").problems == []


def test_the_sheet_of_few_normal_pictures_begins_a_row_with_each_class() -> None:
    storage, result = imported()
    normal = len(result.index.select(classes=()))
    sheet = draw_sheet(storage, result.index, per_class=normal + 1, tile_px=64)
    classes = [len(result.index.select(classes=[name], normal=False)) for name in result.index.classes]
    assert max(classes) <= normal and sheet.shape[0] == GAP_PX + 3 * (64 + LABEL_PX + GAP_PX)


def test_the_sheet_shows_a_row_of_normal_pictures_and_of_each_class() -> None:
    storage, result = imported()
    sheet = draw_sheet(storage, result.index, per_class=4, tile_px=64)
    rows, columns = round(sheet.shape[0] / 64 / 1.4), round(sheet.shape[1] / 64 / 1.1)
    assert (rows, columns) == (3, 4)


@pytest.mark.skipif(not TILES.is_dir(), reason="AGAN_TEST_DATA has no magnetic_tile")
def test_the_magnetic_tiles_import_at_native_size_by_tile_and_a_second_time_byte_for_byte() -> None:
    tree = FsspecTree(str(TILES), Settings())
    stores = [MemoryStorage(), MemoryStorage()]
    results = [
        import_dataset(store, tree, name="tiles", fmt="mvtec", resolution=None, groups="groups.csv:tile_group")
        for store in stores
    ]
    assert stores[0].objects == stores[1].objects
    index = results[0].index
    assert results[0].warnings == [] and index.gray
    assert len(index.samples) == 647 and len({(e.width, e.height) for e in index.samples}) > 500
    for name, total in {"normal": 390, "blowhole": 115, "break": 85, "crack": 57}.items():
        train, test = (index.counts[split][name] for split in ("train", "test"))
        assert train + test == total and 0.15 < test / total < 0.35
    groups = [{entry.group for entry in index.select(split=split)} for split in ("train", "test")]
    assert not groups[0] & groups[1]
    assert check_dataset(stores[0], "tiles").problems == []
    entry = index.select(classes=["crack"], normal=False)[0]
    shard = stores[0].objects[f"datasets/tiles/{index.version}/{entry.shard}"]
    assert sha256(dict(read_shard(shard, "x"))[entry.key]["image.png"]) == entry.image_sha256
