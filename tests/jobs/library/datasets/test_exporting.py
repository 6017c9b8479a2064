"""Data sets for other tools: shards that they read, and formats that come back with equal masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset

from anomaly_gan.formats.reading.options import DEFAULT
from anomaly_gan.formats.reading.readers import reader
from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.sources import FsspecTree
from jobs.library.datasets.exporting import export_dataset
from jobs.library.datasets.store import import_dataset, load_samples
from tests.support.helpers import MemoryStorage, run_cli
from tests.support.sources import MemoryTree, mvtec_files


@pytest.fixture
def storage() -> MemoryStorage:
    made = MemoryStorage()
    files = mvtec_files(normal=4, crack=4, dent=4)
    import_dataset(made, MemoryTree(files), name="set", fmt="mvtec", resolution=None)
    return made


def shards(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.tar"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its files
def test_webdataset_reads_normal_and_anomalous_samples_alike(storage: MemoryStorage, tmp_path: Path) -> None:
    index, counts = export_dataset(storage, "set", "webdataset", tmp_path / "out")
    assert (counts.images, counts.instances) == (12, 8)
    assert [Path(path).name for path in shards(tmp_path / "out")] == ["test-000000.tar", "train-000000.tar"]
    expected = {sample.key: sample for sample in load_samples(storage, index, split=None)}
    members = {"image.png", "mask.crack.png", "mask.dent.png", "meta.json"}
    found = list(webdataset.WebDataset(shards(tmp_path / "out"), shardshuffle=False, empty_check=False).decode("l8"))
    assert len(found) == len(expected)
    for one in found:
        sample: Any = expected[one["__key__"]]
        assert {name for name in one if not name.startswith("__")} == members
        np.testing.assert_array_equal(one["image.png"], sample.image)
        for name in ("crack", "dent"):
            mask = sample.masks.get(name, np.zeros_like(sample.image))
            np.testing.assert_array_equal(one[f"mask.{name}.png"] > 0, mask > 0)
        assert one["meta.json"] == dict(sample.meta)


def test_datasets_of_hugging_face_read_the_shards(storage: MemoryStorage, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export_dataset(storage, "set", "webdataset", tmp_path / "out")
    read = datasets.load_dataset("webdataset", data_files=shards(tmp_path / "out"), split="train", streaming=True)
    assert {"image.png", "mask.crack.png", "mask.dent.png", "meta.json"} <= set(read.features)
    assert len(list(read)) == 12


@pytest.mark.parametrize("fmt", ["coco", "labelme", "yolo"])
def test_a_data_set_comes_back_from_a_format_with_equal_masks(storage: MemoryStorage, tmp_path: Path, fmt: str) -> None:
    index, _ = export_dataset(storage, "set", fmt, tmp_path / "out")
    items = reader(fmt)(FsspecTree(str(tmp_path / "out"), Settings()), DEFAULT)
    back = {Path(picture.path).stem: picture for picture in (item.load() for item in items)}
    for sample in load_samples(storage, index, split=None):
        assert back[sample.key].masks.keys() == sample.masks.keys()
        for name, mask in sample.masks.items():
            np.testing.assert_array_equal(back[sample.key].masks[name], mask)


def test_a_folder_that_is_there_and_an_unknown_format_are_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError):
        export_dataset(storage, "set", "webdataset", tmp_path / "there")
    with pytest.raises(UsageError, match="unknown format"):
        export_dataset(storage, "set", "tfrecord", tmp_path / "out")


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    for path, data in mvtec_files(crack=4).items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(data)
    store = ["--store", str(tmp_path / "store")]
    run_cli(["data", "import", str(tmp_path / "in"), "--name", "set", *store])
    result = run_cli(["data", "export", "set", "-o", str(tmp_path / "out"), "--json", *store])
    assert json.loads(result.stdout)["images"] == 8 and shards(tmp_path / "out")
