"""What an import tells about what it read and what it left out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import DataError, UsageError
from infra.settings import Settings
from infra.storage.sources import FsspecTree
from jobs.library.datasets.store import ImportResult, import_dataset, load_index
from tests.anomaly_gan.formats.reading.test_orientation import tagged
from tests.anomaly_gan.samples.test_near_twins import scene
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, blob, gray, mvtec_files, png


def run(files: dict[str, bytes], groups: str | None = None, **more: object) -> ImportResult:
    tree = MemoryTree(files)
    return import_dataset(MemoryStorage(), tree, name="set", fmt="mvtec", resolution=None, groups=groups, **more)  # type: ignore[arg-type]


def on_disk(folder: Path, files: dict[str, bytes]) -> FsspecTree:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return FsspecTree(str(folder), Settings())


def test_what_is_left_out_is_counted_and_named_by_the_reason(tmp_path: Path) -> None:
    others = {"notes.md": b"", "old/a.json": b"{}", "old/b.xml": b"", ".DS_Store": b"", "Thumbs.db": b""}
    tree = on_disk(tmp_path / "set", mvtec_files(crack=4) | others | {"elsewhere/x.png": png(gray())})
    (tmp_path / "far").mkdir()
    os.symlink(tmp_path / "far", tmp_path / "set" / "linked")
    os.symlink("nowhere", tmp_path / "set" / "gone.png")
    result = import_dataset(MemoryStorage(), tree, name="set", fmt="mvtec", resolution=None)
    assert result.left_out == [
        "annotation files that are not read: 2 (old/a.json, old/b.xml)",
        "files that are no pictures: 2 (Thumbs.db, notes.md)",
        "hidden files: 1 (.DS_Store)",
        "symbolic links to nothing: 1 (gone.png)",
        "symbolic links to folders: 1 (linked)",
    ]
    assert result.warnings == [f"{tree.url}: left out, pictures that belong to no item: 1 (elsewhere/x.png)"]


def test_a_table_of_groups_that_is_not_used_is_named_with_its_option() -> None:
    files = mvtec_files(crack=4)
    table = "path,group\n" + "".join(f"{path},{path}\n" for path in files)
    (warning,) = run(files | {"sub/Groups.csv": table.encode()}).warnings
    assert warning == "sub/Groups.csv: is not used; give --groups sub/Groups.csv to keep its groups in one split"
    used = run(files | {"groups.csv": table.encode()}, groups="groups.csv:group")
    assert used.warnings == used.left_out == []


def test_turned_pictures_are_told_of_once_with_their_number() -> None:
    files = mvtec_files(normal=6, crack=4)
    files |= {f"train/good/{i:03d}.png": tagged(gray(seed=50 + i), 6) for i in range(5)}
    (warning,) = run(files).warnings
    assert warning.startswith("5 pictures are turned as their EXIF says")
    assert warning.endswith("(train/good/000.png, train/good/001.png, train/good/002.png and 2 more)")


def test_a_picture_that_is_once_normal_and_once_not_is_told() -> None:
    files = mvtec_files(crack=4)
    files["train/good/twin.png"] = files["test/crack/000.png"]
    warnings = run(files).warnings
    told = "test/crack/000.png and train/good/twin.png are the same picture, once normal and once not; keep one"
    assert told in warnings


def test_pictures_that_nearly_equal_one_of_the_other_split_are_named() -> None:
    files = mvtec_files(normal=0, crack=4)
    for i in range(8):
        files[f"train/good/{i}.png"] = png(np.clip(scene(i // 2).astype(int) + i % 2, 0, 255).astype(np.uint8))
    told = [warning for warning in run(files).warnings if "nearly equal" in warning]
    assert len(told) == 1 and "of the test split nearly equal one of the training split (train/good/" in told[0]
    group = {f"train/good/{i}.png": f"pair {i // 2}" for i in range(8)}
    table = "path,group\n" + "".join(f"{path},{group.get(path, path)}\n" for path in files)
    assert run(files | {"groups.csv": table.encode()}, groups="groups.csv").warnings == []


def test_pictures_of_a_class_that_is_left_out_are_listed_and_no_normal_ones() -> None:
    files = mvtec_files(crack=4, rare=1)
    with pytest.raises(DataError, match=r"^class rare: has only one group .* or --leave-out rare$"):
        run(files)
    result = run(files, leave_out=["rare"])
    assert result.index.classes == ("crack",)
    normal = {entry.source for entry in result.index.samples if entry.is_normal}
    assert normal == {f"train/good/{i:03d}.png" for i in range(4)}
    assert "test/rare/000.png" not in {entry.source for entry in result.index.samples}
    assert [entry.reason for entry in result.skipped] == ["test/rare/000.png: shows rare, which --leave-out names"]
    with pytest.raises(UsageError, match=r"^--leave-out: no picture shows dent; classes are crack, rare$"):
        run(files, leave_out=["dent", "rare"])


def test_an_import_without_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"^no class: every picture is normal"):
        run(mvtec_files(normal=4))


@pytest.mark.parametrize("level", [255, 1])
def test_a_mask_that_covers_its_picture_is_refused_and_told_where_it_is_allowed(level: int) -> None:
    files = mvtec_files(crack=4)
    mask = np.full((24, 32), level, np.uint8)
    mask[4:8, 4:8] = 0
    files["ground_truth/crack/000_mask.png"] = png(mask)
    with pytest.raises(DataError, match=r"test/crack/000.png: the mask of 'crack' covers 98% of"):
        run(files)
    result = run(files, allow_large=True)
    assert result.warnings == ["test/crack/000.png: the mask of 'crack' covers 98% of its picture"]


def test_a_large_shape_is_refused_in_formats_without_mask_pictures_too() -> None:
    image = {"id": 1, "file_name": "a.png"}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 32, 0, 32, 24, 0, 24]]}
    file = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "dent"}]}
    tree = MemoryTree({"a.png": png(gray()), "a.json": json.dumps(file).encode()})
    with pytest.raises(DataError, match=r"a.png: the mask of 'dent' covers 100% of its picture"):
        import_dataset(MemoryStorage(), tree, name="set", fmt="coco", resolution=None)


def test_how_pictures_were_read_is_recorded_only_where_it_is_not_the_default() -> None:
    storage, tree = MemoryStorage(), MemoryTree(mvtec_files(crack=4))
    plain = import_dataset(storage, tree, name="set", fmt="mvtec", resolution=None).index
    stated = ReadingOptions(orientation="stored")
    other = import_dataset(storage, tree, name="set", fmt="mvtec", resolution=None, options=stated).index
    assert (plain.reading, other.reading) == ({}, {"orientation": "stored"})
    assert plain.version != other.version
    assert load_index(storage, "set") == other and other.version == other.content_digest()


def test_an_index_of_before_keeps_its_version() -> None:
    index = run(mvtec_files(crack=4), options=DEFAULT).index
    stored = json.loads(index.model_dump_json())
    del stored["reading"]
    before = DatasetIndex.model_validate(stored)
    assert before.content_digest() == before.version == index.version


def test_masks_of_colours_become_classes_of_an_import() -> None:
    files = mvtec_files(crack=0)
    for i in range(4):
        pixels = np.zeros((24, 32, 3), np.uint8)
        pixels[blob() > 0], pixels[16:20, 20:24] = (255, 0, 0), (0, 0, 255)
        files |= {f"test/bad/{i}.png": png(gray(seed=9 + i)), f"ground_truth/bad/{i}_mask.png": png(pixels)}
    from anomaly_gan.formats.reading.mask_colours import parse_mask_colours

    options = ReadingOptions(mask_colours=parse_mask_colours(["255,0,0=crack", "0,0,255=stain"]))
    index = run(files, options=options).index
    assert index.classes == ("crack", "stain")
    assert index.reading == {"mask_colours": "255,0,0=crack 0,0,255=stain"}
