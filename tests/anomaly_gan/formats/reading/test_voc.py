from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.formats.reading.mask_colours import parse_mask_colours
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.formats.reading.voc import fits, read
from infra.errors import DataError
from tests.anomaly_gan.formats.reading.test_mask_pictures import paletted
from tests.support.sources import MemoryTree, gray, png

NONE: Mapping[str, bytes] = {}
LABELMAP = b"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:250,50,83::\nstain:51,221,255::\n"


def numbers(**levels: int) -> NDArray[np.uint8]:
    pixels = np.zeros((24, 32), np.uint8)
    pixels[4:10, 5:13], pixels[14:20, 5:13] = levels.get("upper", 0), levels.get("lower", 0)
    return pixels


def coloured(upper: tuple[int, int, int], lower: tuple[int, int, int] = (0, 0, 0)) -> NDArray[np.uint8]:
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[4:10, 5:13], pixels[14:20, 5:13] = upper, lower
    return pixels


def load(mask: bytes, options: ReadingOptions = DEFAULT, files: Mapping[str, bytes] = NONE) -> Picture:
    tree = {"JPEGImages/a.jpg": png(gray()), "SegmentationClass/a.png": mask} | dict(files)
    (item,) = read(MemoryTree(tree), options)
    return item.load()


def test_colours_mean_what_the_labelmap_of_cvat_says() -> None:
    picture = load(png(coloured((250, 50, 83), (51, 221, 255))), files={"labelmap.txt": LABELMAP})
    assert {label: int(mask.sum()) for label, mask in picture.masks.items()} == {"crack": 48, "stain": 48}
    assert picture.masks["stain"][15, 6] and not picture.instances


def test_numbers_mean_what_class_names_says_and_the_void_is_nothing() -> None:
    pixels = numbers(upper=2, lower=1)
    pixels[3, 5:13] = 255
    names = {"class_names.txt": b"_background_\ncrack\ndeep stain\n"}
    palette = {1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
    for data in (paletted(pixels, palette), png(pixels)):
        masks = load(data, files=names).masks
        assert {label: int(mask.sum()) for label, mask in masks.items()} == {"crack": 48, "deep stain": 48}
        assert masks["deep stain"][5, 6]


@pytest.mark.parametrize("objects", [png(numbers(upper=7, lower=9)), png(coloured((1, 2, 3), (200, 0, 0)))])
def test_objects_are_anomalies_of_their_own(objects: bytes) -> None:
    red = (250, 50, 83)
    files = {"labelmap.txt": LABELMAP, "SegmentationObject/a.png": objects}
    instances = load(png(coloured(red, red)), files=files).instances["crack"]
    assert np.unique(instances).tolist() == [0, 1, 2]
    assert instances[5, 6] != instances[15, 6]


def test_a_part_that_no_object_covers_is_one_more() -> None:
    red = (250, 50, 83)
    files = {"labelmap.txt": LABELMAP, "SegmentationObject/a.png": png(numbers(upper=7))}
    assert np.unique(load(png(coloured(red, red)), files=files).instances["crack"]).tolist() == [0, 1, 2]


def test_a_mask_without_a_class_is_a_normal_picture_and_so_is_one_of_a_folder_of_normal_ones() -> None:
    assert load(png(coloured((0, 0, 0))), files={"labelmap.txt": LABELMAP}).masks == {}
    files = {"SegmentationClass/a.png": png(numbers()), "JPEGImages/a.jpg": png(gray()), "labelmap.txt": LABELMAP}
    items = read(MemoryTree(files | {"good/b.png": png(gray()), "JPEGImages/c.jpg": png(gray())}))
    assert [item.path for item in items] == ["JPEGImages/a.jpg", "good/b.png"]


def test_a_colour_that_the_table_lacks_is_refused() -> None:
    with pytest.raises(DataError, match=r"^SegmentationClass/a.png: holds 1,2,3 \(48 px\), which no --mask-colour"):
        load(png(coloured((1, 2, 3))), files={"labelmap.txt": LABELMAP})


def test_mask_colours_replace_the_table() -> None:
    options = ReadingOptions(mask_colours=parse_mask_colours(["1,2,3=dent"]))
    assert load(png(coloured((1, 2, 3))), options, files={"labelmap.txt": LABELMAP}).masks.keys() == {"dent"}


def test_a_tree_without_a_table_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"no labelmap.txt and no class_names.txt; say what colours mean with --mask-"):
        load(png(numbers()))
    with pytest.raises(DataError, match=r"^labelmap.txt: line 1: no line of"):
        load(png(numbers()), files={"labelmap.txt": b"crack red"})


def test_a_mask_without_picture_is_refused_and_a_tree_of_voc_is_known() -> None:
    tree = MemoryTree({"SegmentationClass/a.png": png(numbers()), "labelmap.txt": LABELMAP})
    (item,) = read(tree)
    with pytest.raises(DataError, match=r"^SegmentationClass/a.png: has 0 pictures of its name in JPEGImages"):
        item.load()
    assert fits(tree) and not fits(MemoryTree({"a.png": b""}))
