from collections.abc import Mapping

import numpy as np
import pytest

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.formats.reading.yolo import fits, read
from infra.errors import DataError
from tests.anomaly_gan.formats.reading.test_orientation import level_below_the_mask, scratched, tagged
from tests.support.sources import MemoryTree, gray, png

NONE: Mapping[str, bytes] = {}
NAMES = b"train: images/train\nnames:\n  0: crack\n  1: deep dent\n"
SQUARE = "0.25 0.25 0.46 0.25 0.46 0.5 0.25 0.5"


def load(text: str, options: ReadingOptions = DEFAULT, files: Mapping[str, bytes] = NONE) -> Picture:
    tree = {"images/a.png": png(gray(40, 40)), "labels/a.txt": text.encode(), "data.yaml": NAMES} | dict(files)
    (item,) = read(MemoryTree(tree), options)
    return item.load()


def test_each_line_is_an_anomaly_with_outline_as_ultralytics_fills_it() -> None:
    picture = load(f"0 {SQUARE}\n0 0.75 0.75 0.9 0.75 0.9 0.9\n1 {SQUARE}\n\n")
    assert sorted(picture.masks) == ["crack", "deep dent"]
    assert np.argwhere(picture.masks["deep dent"]).min(axis=0).tolist() == [10, 10]
    assert picture.masks["deep dent"].sum() == 9 * 11
    assert picture.instances["crack"].max() == 2


@pytest.mark.parametrize("path", ["images/train/a.png", "set/images/a.jpg", "images/images/a.png", "a.png"])
def test_a_file_is_found_by_the_last_images_of_its_pictures_path(path: str) -> None:
    label = "labels".join(path.rsplit("images", 1)).rsplit(".", 1)[0] + ".txt" if "images" in path else "labels/a.txt"
    tree = {path: png(gray()), label: f"0 {SQUARE}".encode(), "data.yaml": NAMES}
    items = read(MemoryTree(tree))
    if path == "a.png":
        with pytest.raises(DataError, match=r"^labels/a.txt: has no picture below images/"):
            items[0].load()
    else:
        assert [item.load().path for item in items] == [path]


def test_an_empty_file_is_a_normal_picture_and_no_file_only_in_a_folder_of_normal_ones() -> None:
    assert load("").masks == {}
    more = {"images/good/b.png": png(gray()), "images/c.png": png(gray())}
    tree = {"images/a.png": png(gray()), "labels/a.txt": b"", "data.yaml": NAMES} | more
    assert [item.path for item in read(MemoryTree(tree))] == ["images/a.png", "images/good/b.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 " + SQUARE, "line 1: class 2 is not among the 2"),
        ("\n-1 " + SQUARE, "line 2: class -1 is not among"),
        ("9" * 5000 + " " + SQUARE, "line 1: class 9+ is not among"),
        ("crack " + SQUARE, "line 1: class crack is not among"),
        ("0 1 2 3 4 5 6", "line 1: points are shares"),
        ("0 nan 0.2 0.3 0.4 0.5 0.6", "line 1: points are shares"),
        ("0 a 0.2 0.3 0.4 0.5 0.6", "line 1: holds what is no number"),
        ("0 0.1 0.2 0.3", "line 1: a polygon needs at least 3 points"),
        ("0 0.1 0.2 0.3 0.4 0.5 0.6 0.7", "line 1: a polygon needs at least 3 points"),
        ("0 0.5 0.5 0.2 0.2", "line 1: is a box, and a box alone is no mask; draw it, or give --boxes-as-masks"),
    ],
)
def test_a_broken_line_is_refused_by_its_number(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^labels/a.txt: {message}"):
        load(text)


def test_a_box_is_a_mask_where_the_user_says_so() -> None:
    mask = load("0 0.5 0.5 0.2 0.4", ReadingOptions(boxes_as_masks=True)).masks["crack"]
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 28, 16, 24)


@pytest.mark.parametrize(
    "data", [b"names: [crack, dent]", b"names: {0: crack, 1: dent}", b"\xef\xbb\xbfnames: [crack, dent]"]
)
def test_names_are_a_list_or_numbered(data: bytes) -> None:
    assert load(f"1 {SQUARE}", files={"data.yaml": data}).masks.keys() == {"dent"}


@pytest.mark.parametrize(
    "data", [b"nc: 2", b"names: 5", b"names: {1: crack}", b"names: [", b"a: &a [1]\nnames: *a", b"[" * 9999]
)
def test_a_file_that_names_no_classes_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^data.yaml: (has no list `names`|not valid YAML)"):
        load(f"0 {SQUARE}", files={"data.yaml": data})


def test_no_names_at_all_are_those_of_normal_pictures() -> None:
    assert load("", files={"data.yaml": b"names:\n"}).masks == {}


def test_names_may_stand_in_classes_txt_and_must_stand_somewhere() -> None:
    tree = {"images/a.png": png(gray()), "labels/a.txt": f"1 {SQUARE}".encode()}
    (item,) = read(MemoryTree(tree | {"classes.txt": b"crack\ndent\n"}))
    assert item.load().masks.keys() == {"dent"}
    with pytest.raises(DataError, match=r"has no data.yaml and no classes.txt"):
        read(MemoryTree(tree))
    assert fits(MemoryTree(tree)) and not fits(MemoryTree({"a.txt": b""}))


def test_shares_are_of_the_picture_as_it_is_shown() -> None:
    stored = scratched()  # 64 x 96, stored; 96 x 64, shown by orientation 6: the scratch is in the lower left
    text = "0 " + " ".join(
        f"{x / 64:.6f} {y / 96:.6f}" for x, y in ((9.1, 60.1), (18.9, 60.1), (18.9, 84.9), (9.1, 84.9))
    )
    assert level_below_the_mask(load(text, files={"images/a.png": tagged(stored, 6)})) == 20
