"""The list of formats that a data set is imported from."""

from functools import partial

import numpy as np
import pytest

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.pictures import decode_picture
from anomaly_gan.formats.reading.readers import AUTO, READERS, fitting, hint, read_items, reader
from anomaly_gan.formats.reading.source import Picture, SourceItem, SourceTree, items_from
from infra.errors import DataError, UsageError
from jobs.library.datasets.store import import_dataset
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, blob, gray, mvtec_files, png


@pytest.mark.parametrize("name", READERS)
def test_every_listed_format_can_be_loaded(name: str) -> None:
    assert callable(reader(name))


COCO = b'{"images": [], "annotations": [], "categories": []}'
LABELME = b'{"shapes": [], "imagePath": "a.png"}'
TREES = {
    "mvtec": mvtec_files(crack=1),
    "labelme": {"a.png": png(gray()), "a.json": LABELME, "normal/b.png": png(gray())},
    "coco": {"ann/all.json": COCO, "info.json": b"[]"},
    "yolo": {"images/a.png": png(gray()), "labels/a.txt": b"", "data.yaml": b"names: [crack]"},
    "voc": {
        "JPEGImages/a.jpg": png(gray()),
        "SegmentationClass/a.png": png(blob()),
        "labelmap.txt": b"crack:255,255,255::",
    },
    "cvat": {"images/a.png": png(gray()), "annotations.xml": b'<annotations><image name="a.png"/></annotations>'},
    "folder": {"crack/a.png": png(gray()), "crack/masks/a.png": png(blob()), "normal/b.png": png(gray())},
}


@pytest.mark.parametrize("name", TREES)
def test_the_format_that_fits_is_taken_and_named_where_another_is_given(name: str) -> None:
    tree = MemoryTree(TREES[name])
    assert fitting(tree) == [name]
    auto = [item.path for item in read_items(AUTO, tree, DEFAULT)]
    assert auto == [item.path for item in read_items(name, tree, DEFAULT)]
    for other in TREES.keys() - {name}:
        assert hint(other, tree) == f"; --format {name} fits"


@pytest.mark.parametrize(
    ("wrong", "right"), [("mvtec", "coco"), ("coco", "mvtec"), ("labelme", "mvtec"), ("mvtec", "labelme")]
)
def test_a_wrong_format_is_refused_with_the_one_that_fits(wrong: str, right: str) -> None:
    with pytest.raises(DataError, match=rf"^memory://source: .*; --format {right} fits$"):
        read_items(wrong, MemoryTree(TREES[right]), DEFAULT)


def test_a_wrong_format_of_which_every_item_is_bad_is_refused_with_the_one_that_fits() -> None:
    with pytest.raises(DataError, match=r"1 bad items, .*--max-bad 1; --format coco fits\n"):
        import_dataset(MemoryStorage(), MemoryTree({"all.json": COCO}), name="set", fmt="labelme")


def test_a_tree_that_no_format_fits_or_several_do_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"^memory://source: no format fits, known are mvtec, .*give .* with --format$"):
        read_items(AUTO, MemoryTree({"a.png": png(gray())}), DEFAULT)
    with pytest.raises(DataError, match=r"^memory://source: mvtec, coco fit; give the one that is meant with "):
        read_items(AUTO, MemoryTree(TREES["mvtec"] | TREES["coco"]), DEFAULT)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError,
        match=r"^--format: unknown format, got 'tfrecord'; use one of mvtec, labelme, coco, folder, yolo, voc, cvat$",
    ):
        reader("tfrecord")


def read_toy(tree: SourceTree, options: ReadingOptions) -> list[SourceItem]:
    """Pictures of scratches side by side with their masks: the left half is the picture, the right half the mask."""

    def load(path: str) -> Picture:
        picture, mask = np.hsplit(decode_picture(tree.read(path), path), 2)
        return Picture(path, picture, {"scratch": mask // 255} if mask.any() else {}, files=(path,))

    return items_from({path: partial(load, path) for path in tree.paths()})


def test_a_toy_format_is_added_through_the_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "toy", f"{__name__}:read_toy")
    pictures = [np.hstack([gray(seed=i), blob(level=255 * (i % 2))]) for i in range(8)]
    tree = MemoryTree({f"{i}.png": png(picture) for i, picture in enumerate(pictures)})
    index = import_dataset(MemoryStorage(), tree, name="toys", fmt="toy", resolution=None).index
    assert {split: sum(counts.values()) for split, counts in index.counts.items()} == {"train": 6, "test": 2}
    assert index.classes == ("scratch",)
