import base64
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomaly_gan.formats.reading.labelme import draw_all, parse
from anomaly_gan.formats.reading.to_sample import ClassNames
from anomaly_gan.masks.drawn.experts import DrawnMask, read_expert_masks
from infra.errors import DataError
from tests.support.helpers import TEST_DATA
from tests.support.sources import MemoryTree, blob, gigantic_png, gray, png

EXAMPLES = TEST_DATA / "labelme_examples"
needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="AGAN_TEST_DATA has no labelme_examples")

CLASSES = ("dent", "hole", "deep_dent")
SQUARE = [(4, 4), (12, 4), (12, 10), (4, 10)]
FAR = [(20, 12), (28, 12), (28, 20)]
HEADER = "class,left,top,width,height,image_width,image_height"


def shape(label: str = "dent", points: Any = SQUARE, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def labelme(*shapes: dict[str, Any], **more: Any) -> bytes:
    stated = {"imagePath": "a.png", "imageHeight": 24, "imageWidth": 32, "imageData": None}
    return json.dumps({"shapes": shapes} | stated | more).encode()


def annotation(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 7, "category_id": 3} | more


def coco(*annotations: dict[str, Any], **image: Any) -> bytes:
    images = [{"id": 7, "file_name": "a.png", "height": 24, "width": 32} | image]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "dent"}]}
    ).encode()


def table(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode()


def masks(files: Mapping[str, bytes]) -> list[DrawnMask]:
    return list(read_expert_masks(MemoryTree(files), CLASSES))


def message(files: Mapping[str, bytes]) -> str:
    with pytest.raises(DataError) as raised:
        masks(files)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def filled(top: int, left: int, bottom: int, right: int) -> np.ndarray[Any, Any]:
    mask = np.zeros((24, 32), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_the_kinds_of_files_are_read_in_the_order_of_their_paths() -> None:
    files = {
        "README.md": b"",
        "a/boxes.csv": table("hole,1,2,3,4,32,24"),
        "b/hole/x.png": png(blob()),
        "c.json": labelme(shape()),
        "d.json": coco(annotation(bbox=[5, 4, 8, 6])),
    }
    found = masks(files)
    assert [(mask.source, mask.class_name) for mask in found] == [
        ("a/boxes.csv#2", "hole"),
        ("b/hole/x.png#1", "hole"),
        ("c.json#0", "dent"),
        ("d.json#1", "dent"),
    ]
    assert all(mask.mask.shape == (24, 32) and mask.mask.dtype == np.uint8 for mask in found)


def test_a_folder_is_read_file_by_file() -> None:
    stream = read_expert_masks(MemoryTree({"a.json": labelme(shape()), "b.json": b"{"}), CLASSES)
    assert next(stream).source == "a.json#0"
    with pytest.raises(DataError, match=r"^b.json: not a labelme file"):
        next(stream)


@pytest.mark.parametrize("files", [{}, {"README.md": b"", "x.txt": b""}, {"a.json": labelme(shape("__ignore__"))}])
def test_a_folder_without_masks_is_refused(files: dict[str, bytes]) -> None:
    assert message(files).startswith("memory://source: holds no expert mask; add labelme or COCO files")


# labelme


def test_shapes_of_one_label_and_group_id_are_one_element() -> None:
    drawn = labelme(
        shape(group_id=1), shape(points=[(0, 20), (3, 20), (3, 23)]), shape(points=FAR, group_id=1), shape("hole", FAR)
    )
    found = masks({"a.json": drawn})
    assert [(mask.source, mask.class_name) for mask in found] == [
        ("a.json#0+2", "dent"),
        ("a.json#1", "dent"),
        ("a.json#3", "hole"),
    ]
    assert found[0].mask[5, 5] == found[0].mask[13, 27] == 1
    np.testing.assert_array_equal(found[0].mask - filled(4, 4, 11, 13), found[2].mask)


def test_labels_that_mean_nothing_are_skipped() -> None:
    found = masks({"a.json": labelme(shape("__ignore__"), shape("_background_"), shape())})
    assert [mask.source for mask in found] == ["a.json#2"]


def test_labels_become_class_names_as_in_the_import() -> None:
    (found,) = masks({"a.json": labelme(shape("deep dent"))})
    assert found.class_name == "deep_dent"
    told = message({"a.json": labelme(shape("deep dent"), shape("deep/dent"))})
    assert told.startswith("a.json#1: labels 'deep dent' and 'deep/dent' both become class deep_dent")


def test_an_unknown_label_is_refused_with_the_classes() -> None:
    told = message({"a.json": labelme(shape("scratch"))})
    assert told == "a.json#0: 'scratch' is no class of the data set; rename it to one of deep_dent, dent, hole"


def test_the_canvas_is_the_stated_one_else_that_of_the_picture() -> None:
    unstated = {"imageHeight": None, "imageWidth": None}
    picture = png(gray(40, 50))
    embedded = labelme(shape(), imageData=base64.b64encode(png(gray(30, 20))).decode(), **unstated)
    for files, size in (
        ({"a.json": labelme(shape())}, (24, 32)),
        ({"a.json": embedded}, (30, 20)),
        ({"a.json": labelme(shape(), imagePath="img\\x.png", **unstated), "img/x.png": picture}, (40, 50)),
        ({"a.json": labelme(shape(), imagePath="gone.png", **unstated), "a.png": picture}, (40, 50)),
    ):
        (found,) = masks(files)
        assert found.mask.shape == size
    told = message({"a.json": labelme(shape(), **unstated)})
    assert told.startswith("a.json: imagePath: names 'a.png', but the imported folder holds no picture")


@pytest.mark.parametrize(("height", "width"), [(-1, 32), (10**6, 10**6)])
def test_an_impossible_canvas_is_refused(height: int, width: int) -> None:
    told = message({"a.json": labelme(shape(), imageHeight=height, imageWidth=width)})
    assert told.startswith(f"a.json: states a picture of {width} x {height} pixels; state its true size")


def test_a_shape_over_the_border_is_cut_off_there() -> None:
    (found,) = masks({"a.json": labelme(shape(points=[(-5, -5), (3, 2)], kind="rectangle"))})
    np.testing.assert_array_equal(found.mask, filled(0, 0, 3, 4))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (shape(points=[(50, 50), (60, 50), (60, 60)]), "lies wholly outside its picture of 32 x 24 pixels; draw it"),
        (shape(points=[(-9, 3), (-2, 3)], kind="rectangle"), "lies wholly outside its picture"),
        (
            shape(
                points=[(4, 4), (6, 6)], kind="mask", mask=base64.b64encode(png(np.zeros((3, 3), np.uint8))).decode()
            ),
            "is empty, it covers no pixel of its picture; draw it larger or remove it",
        ),
        (shape(points=[]), "a polygon needs at least 3 points, got 0"),
    ],
)
def test_a_shape_without_pixels_is_refused_by_file_number_and_label(bad: dict[str, Any], told: str) -> None:
    assert message({"a.json": labelme(shape(group_id=1), bad | {"group_id": 1})}).startswith(
        f"a.json: shape 1 (dent): {told}"
    )


# COCO


def test_annotations_are_elements_by_segmentation_or_else_by_box() -> None:
    two = [[5, 4, 13, 4, 13, 10, 5, 10], [20, 12, 28, 12, 28, 20, 20, 20]]
    run_lengths = {"size": [24, 32], "counts": [24, 24, 720]}
    found = masks(
        {
            "all.json": coco(
                annotation(4, segmentation=two, bbox=[0, 0, 1, 1]),
                annotation(5, segmentation=run_lengths),
                annotation(6, bbox=[5.5, 4, 8, 6.2]),
            )
        }
    )
    assert [mask.source for mask in found] == ["all.json#4", "all.json#5", "all.json#6"]
    np.testing.assert_array_equal(found[0].mask, filled(4, 5, 10, 13) | filled(12, 20, 20, 28))
    np.testing.assert_array_equal(found[1].mask, filled(0, 1, 24, 2))
    np.testing.assert_array_equal(found[2].mask, filled(4, 5, 11, 14))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (coco(annotation(bbox=[1, 1, 2, 2]), width=None), "its image 'a.png' has no width and height in the file"),
        (coco(annotation(bbox=[1, 1, 2, 2]), width=0), "states a picture of 0 x 24 pixels"),
        (coco(annotation()), "has neither a segmentation nor a bbox of 4 numbers"),
        (coco(annotation(bbox=[1, 2, 3])), "has neither a segmentation nor a bbox of 4 numbers"),
        (coco(annotation(bbox=[1, 2, 0, 3])), "a box needs finite numbers and a width and height above 0, got 1, 2, 0"),
        (coco(annotation(bbox=[40, 2, 5, 5])), "lies wholly outside its picture of 32 x 24 pixels"),
        (coco(annotation(bbox=[-5, 2, 5, 5])), "lies wholly outside its picture of 32 x 24 pixels"),
        (coco(annotation(segmentation=[[50, 50, 60, 50, 60, 60]])), "lies wholly outside its picture"),
        (coco(annotation(segmentation=[[9, 9, 9, 9, 9, 9]])), "is empty, it covers no pixel"),
        (coco(annotation(segmentation={"size": [24, 32], "counts": [768]})), "is empty, it covers no pixel"),
        (coco(annotation(category_id=4, bbox=[1, 1, 2, 2])), "category 4 is not listed"),
        (coco(annotation(bbox=[1, 1, 2, 2]), annotation(bbox=[5, 5, 2, 2])), "stands twice"),
    ],
)
def test_a_broken_annotation_is_refused_by_file_and_number(file: bytes, told: str) -> None:
    assert message({"all.json": file}).startswith(f"all.json: annotation 1: {told}")


# pictures


def test_each_connected_part_of_a_mask_picture_is_an_element_of_its_folders_class() -> None:
    parts = np.zeros((24, 32), np.uint8)
    parts[2:5, 2:5], parts[5, 5] = 255, 255  # joined by a corner
    parts[10, 10:13] = 255  # 3 px: a speck
    parts[20:22, 20:22], parts[20:22, 24:26] = 128, 127
    found = masks({"anna/2026/deep dent/x.jpg.png": png(parts)})
    assert [(mask.source, mask.class_name) for mask in found] == [
        ("anna/2026/deep dent/x.jpg.png#1", "deep_dent"),
        ("anna/2026/deep dent/x.jpg.png#3", "deep_dent"),
    ]
    assert [int(mask.mask.sum()) for mask in found] == [10, 4]


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        (
            "x.png",
            png(blob()),
            "a mask picture lies in a folder named after its class; move it to deep_dent, dent, hole",
        ),
        (
            "dent/anna/x.png",
            png(blob()),
            "'anna' is no class of the data set; rename it to one of deep_dent, dent, hole",
        ),
        ("dent/x.png", png(blob(level=127)), "the mask has no connected part of 4 px or more whose grey level is at"),
        ("dent/x.png", png(blob()[..., None] * np.array([0, 1, 1], np.uint8)), "has colours, and only black and white"),
        ("dent/x.png", png(blob()[..., None] * np.array([1, 0, 1], np.uint8)), "has colours, and only black and white"),
        ("dent/x.png", b"no", "not a readable picture"),
        ("dent/x.png", gigantic_png(), "the picture has more than 64 megapixels"),
    ],
)
def test_a_picture_that_is_no_mask_is_refused_by_path(path: str, data: bytes, told: str) -> None:
    assert message({path: data}).startswith(f"{path}: {told}")


def test_the_pictures_of_annotation_files_are_no_masks() -> None:
    files = {
        "dent/a.json": labelme(shape(), imagePath="..\\photos\\x.jpg"),
        "dent/a.png": png(gray()),
        "photos/x.jpg": png(gray()),
        "ann/all.json": coco(annotation(bbox=[1, 1, 2, 2]), file_name="b.png"),
        "images/b.png": png(gray()),
        "outside.json": labelme(shape(), imagePath="../../a.png"),
        "hole/m.png": png(blob()),
    }
    assert [mask.source for mask in masks(files)] == [
        "ann/all.json#1",
        "dent/a.json#0",
        "hole/m.png#1",
        "outside.json#0",
    ]


# CSV


def test_a_box_fills_every_pixel_that_it_touches_and_is_cut_off_at_the_border() -> None:
    lines = ("dent,5.9,4,7.2,6,32,24,Anna", "hole,-3,20.5,4,99,32,24,")
    found = masks({"b.csv": b"\xef\xbb\xbf" + table(*lines, header=HEADER + ",expert")})
    assert [mask.source for mask in found] == ["b.csv#2", "b.csv#3"]
    np.testing.assert_array_equal(found[0].mask, filled(4, 5, 10, 14))
    np.testing.assert_array_equal(found[1].mask, filled(20, 0, 24, 1))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("scratch,1,1,2,2,32,24", "'scratch' is no class of the data set"),
        ("dent,1,1,2,2,,", "has no image_width; fill it in"),
        ("dent,1,1,2", "has no height; fill it in"),
        ("dent,1,1,2,2,32,24,9", "has more cells than the header; write decimals with a point"),
        ("dent,one,1,2,2,32,24", "left must be a number, got 'one'"),
        ("dent,nan,1,2,2,32,24", "a box needs finite numbers and a width and height above 0, got nan, 1, 2, 2"),
        ("dent,1,1,-2,2,32,24", "a box needs finite numbers and a width and height above 0"),
        ("dent,1,1,2,2,nan,24", "states a picture of nan x 24.0 pixels"),
        ("dent,1,1,2,2,32.5,24", "states a picture of 32.5 x 24.0 pixels"),
        ("dent,32,1,2,2,32,24", "lies wholly outside its picture of 32 x 24 pixels"),
        ("dent,20,1,1e-300,2,32,24", "is empty, it covers no pixel"),
    ],
)
def test_a_broken_line_is_refused_by_its_number(line: str, told: str) -> None:
    assert message({"b.csv": table("dent,1,1,2,2,32,24", line)}).startswith(f"b.csv: line 3: {told}")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "b.csv: line 1: has no column 'class'"),
        (b"class;left\ndent;1", "b.csv: line 1: has no column 'class'; the header needs class,left,top,width,"),
        (table(), "b.csv: holds no box"),
        (b"\xff\xfe", "b.csv: is not UTF-8 text"),
        (table("x" * (csv.field_size_limit() + 1)), "b.csv: line 2: is no CSV (field larger than"),
    ],
)
def test_a_file_that_is_no_box_list_is_refused_by_name(data: bytes, told: str) -> None:
    assert message({"b.csv": data}).startswith(told)


# labelme's own rasterisation


def example_classes(folder: Path) -> dict[str, int]:
    """Class name -> its number in labelme's export; the first line, __ignore__, is -1."""
    labels = (folder / "labels.txt").read_text().splitlines()
    names = ClassNames()
    return {names.name(label, "labels.txt"): number - 1 for number, label in enumerate(labels)}


@needs_examples
@pytest.mark.parametrize("kind", ["semantic_segmentation", "instance_segmentation"])
@pytest.mark.parametrize("stem", ["2011_000003", "2011_000006", "2011_000025"])
def test_expert_masks_agree_with_labelmes_own_rasterisation(kind: str, stem: str) -> None:
    folder = EXAMPLES / kind
    numbers = example_classes(folder)
    data = (folder / f"data_annotated/{stem}.json").read_bytes()
    stored = np.array(Image.open(folder / f"data_dataset_voc/SegmentationClass/{stem}.png"))
    drawn = np.zeros(stored.shape, np.uint8)
    for mask in read_expert_masks(MemoryTree({"a.json": data}), numbers):
        drawn[mask.mask == 1] = numbers[mask.class_name]
    assert ((drawn == stored) | (stored == 255)).mean() >= 0.9999


@needs_examples
def test_expert_masks_of_the_tutorial_agree_with_labelmes_own_rasterisation() -> None:
    folder = EXAMPLES / "tutorial"
    tree = MemoryTree({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    stored = np.array(Image.open(folder / "apc2016_obj3/label.png"))
    numbers = {name: i for i, name in enumerate((folder / "apc2016_obj3/label_names.txt").read_text().splitlines())}
    drawn = np.zeros(stored.shape, np.uint8)
    for mask in read_expert_masks(tree, numbers):
        drawn[mask.mask == 1] = numbers[mask.class_name]
    assert (drawn == stored).mean() >= 0.9999


@needs_examples
@pytest.mark.parametrize("kind", ["instance_segmentation", "bbox_detection", "primitives"])
def test_expert_masks_of_a_label_unite_to_what_labelme_draws(kind: str) -> None:
    for path in sorted((EXAMPLES / kind).rglob("data_annotated/*.json")) + sorted((EXAMPLES / kind).glob("*.json")):
        file = parse(path.read_bytes(), path.name)
        assert file.height and file.width
        parts = list(draw_all(file, (file.height, file.width), path.name))
        classes = {label for label, _, _ in parts}
        united = {label: np.zeros((file.height, file.width), np.uint8) for label in classes}
        for label, _, mask in parts:
            united[label] |= mask
        elements = list(read_expert_masks(MemoryTree({"a.json": path.read_bytes()}), classes))
        assert len(elements) == len({(label, identity) for label, identity, _ in parts})
        for element in elements:
            assert (element.mask <= united[element.class_name]).all()
        for label in classes:
            of_label = [element.mask for element in elements if element.class_name == label]
            np.testing.assert_array_equal(np.maximum.reduce(of_label), united[label])


@needs_examples
def test_group_ids_of_the_examples_are_one_element_each() -> None:
    folder = EXAMPLES / "instance_segmentation"
    tree = MemoryTree({path.name: path.read_bytes() for path in (folder / "data_annotated").iterdir()})
    elements = [(mask.source, mask.class_name) for mask in read_expert_masks(tree, example_classes(folder))]
    people = [source for source, name in elements if name == "person" and source.startswith("2011_000003")]
    assert len(people) == 2 and sum("+" in source for source in people) == 1  # three shapes, two of one group
    assert sum(name == "sofa" and source.startswith("2011_000006") for source, name in elements) == 1
