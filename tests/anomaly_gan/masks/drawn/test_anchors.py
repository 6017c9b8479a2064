import json
from typing import Any

import pytest

from anomaly_gan.masks.drawn.anchors import Anchor, match_anchors, read_anchors, read_anchors_csv
from infra.errors import DataError
from tests.support.sources import MemoryTree, gray, png

CLASSES = ("screw", "dent")
HEADER = "image,class,left,top,width,height"
SOURCES = {
    "k0": ("train/good/000.png", 64, 64),
    "k1": ("test/good/000.png", 64, 64),
    "k2": ("train/good/001.jpg", 64, 48),
    "k3": ("b.json", 32, 24),
}


def table(*lines: str, header: str = HEADER) -> str:
    return "\n".join([header, *lines])


def anchor(image: str, *box: float, size: tuple[int, int] | None = None) -> Anchor:
    left, top, width, height = box or (1, 2, 3, 4)
    return Anchor(image, "screw", left, top, width, height, size, "a.csv#2")


def labelme(*shapes: dict[str, Any], **more: Any) -> bytes:
    stated = {"imagePath": "..\\train\\good\\001.jpg", "imageHeight": 24, "imageWidth": 32}
    return json.dumps({"shapes": shapes} | stated | more).encode()


def test_boxes_are_read_from_a_csv_file_in_its_order() -> None:
    header = f"{HEADER},image_width,image_height,who"
    lines = ("a.png,screw,1.5,2,3,4,640,480,Anna", "b.png,dent,0,0,9,9,,,")
    assert read_anchors_csv(table(*lines, header=header), "a.csv", CLASSES) == [
        Anchor("a.png", "screw", 1.5, 2, 3, 4, (640, 480), "a.csv#2"),
        Anchor("b.png", "dent", 0, 0, 9, 9, None, "a.csv#3"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a.png,screw,1,2,0,4", "a box needs finite numbers and a width and height above 0, got 1, 2, 0, 4"),
        ("a.png,screw,1,nan,3,4", "a box needs finite numbers"),
        ("a.png,screw,1,2,3,inf", "a box needs finite numbers"),
        ("a.png,bolt,1,2,3,4", "'bolt' is no class of the data set; rename it to one of dent, screw"),
        (",screw,1,2,3,4", "has no image; fill it in"),
        ("a.png,screw,40,2,3,4,32,24", "lies wholly outside its picture of 32 x 24 pixels"),
        ("a.png,screw,1,2,3,4,32,", "image_height must be a number, got ''"),
        ("a.png,screw,1,2,3,4,0,24", "states a picture of 0.0 x 24.0 pixels"),
    ],
)
def test_a_broken_line_is_refused_by_file_and_number(line: str, told: str) -> None:
    text = table("a.png,screw,1,2,3,4", line, header=f"{HEADER},image_width,image_height")
    with pytest.raises(DataError) as raised:
        read_anchors_csv(text, "a.csv", CLASSES)
    assert str(raised.value).startswith(f"a.csv: line 3: {told}")


def test_a_missing_column_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^a.csv: line 1: has no column 'image'; the header needs image,class,left"):
        read_anchors_csv("class,left,top,width,height\n", "a.csv", CLASSES)


def test_boxes_are_read_from_a_folder_of_labelme_coco_and_csv_files() -> None:
    shapes: list[dict[str, Any]] = [
        {"label": "screw", "points": [(4, 5), (12, 10)], "shape_type": "rectangle", "group_id": 1},
        {"label": "dent", "points": [(9, 9)], "shape_type": "point"},
        {"label": "screw", "points": [(20, 5), (22, 30)], "shape_type": "rectangle", "group_id": 1},
    ]
    annotation = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [1.5, 2, 3, 4]}
    coco = {
        "images": [{"id": 1, "file_name": "x/a.png", "width": 10, "height": 20}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "screw"}],
    }
    files = {
        "a.json": labelme(*shapes),
        "b.json": labelme(shapes[0], imagePath=None),
        "c.json": json.dumps(coco).encode(),
        "d.CSV": table("e.png,dent,1,2,3,4").encode(),
        "train/good/001.jpg": png(gray()),
    }
    image = "..\\train\\good\\001.jpg"
    assert read_anchors(MemoryTree(files), CLASSES) == [
        Anchor(image, "screw", 4, 5, 19, 19, (32, 24), "a.json#0+2"),
        Anchor(image, "dent", 4, 4, 11, 11, (32, 24), "a.json#1"),
        Anchor("b.json", "screw", 4, 5, 9, 6, (32, 24), "b.json#0"),
        Anchor("x/a.png", "screw", 1, 2, 4, 4, (10, 20), "c.json#9"),
        Anchor("e.png", "dent", 1, 2, 3, 4, None, "d.CSV#2"),
    ]


def test_a_folder_without_boxes_is_refused() -> None:
    with pytest.raises(DataError, match=r"^memory://source: holds no anchor; add labelme or COCO files"):
        read_anchors(MemoryTree({"a.json": labelme(), "a.png": png(gray())}), CLASSES)


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("train/good/000.png", "k0"),
        ("./test/good/000.png", "k1"),
        ("good/001.jpg", "k2"),
        ("..\\..\\good\\001.jpg", "k2"),
        ("test/good/000.bmp", "k1"),
        ("C:\\Users\\anna\\001.png", "k2"),
        ("b.png", "k3"),
    ],
)
def test_an_image_is_found_by_path_or_its_end_or_its_stem(image: str, key: str) -> None:
    assert match_anchors([anchor(image)], SOURCES) == {key: [("screw", 1, 2, 3, 4)]}


@pytest.mark.parametrize("image", ["c.png", "", "0"])
def test_an_unknown_image_is_refused_by_name(image: str) -> None:
    with pytest.raises(DataError, match=rf"^a.csv#2: '{image}' fits no picture of the data set; name it as in"):
        match_anchors([anchor(image)], SOURCES)


@pytest.mark.parametrize("image", ["000.png", "good/000.png", "000.tif"])
def test_an_ambiguous_image_is_refused_with_two_that_fit(image: str) -> None:
    told = f"a.csv#2: '{image}' fits 2 pictures of the data set, such as train/good/000.png and test/good/000.png;"
    with pytest.raises(DataError, match=f"^{told} write more of its path"):
        match_anchors([anchor(image)], SOURCES)


def test_boxes_are_scaled_to_the_sample_and_cut_off_at_its_border() -> None:
    drawn = [
        anchor("001.jpg", 10, 10, 20, 24, size=(128, 96)),
        anchor("001.jpg", 10, 10, 20, 24),
        anchor("001.jpg", -5, 40, 10, 20),
    ]
    assert match_anchors(drawn, SOURCES) == {
        "k2": [("screw", 5, 5, 10, 12), ("screw", 10, 10, 20, 24), ("screw", 0, 40, 5, 8)]
    }


def test_a_box_outside_the_data_sets_picture_is_refused_by_line() -> None:
    with pytest.raises(DataError, match=r"^a.csv#2: lies wholly outside its picture of 64 x 48 pixels"):
        match_anchors([anchor("001.jpg", 1, 48, 5, 5)], SOURCES)
