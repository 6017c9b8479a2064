import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anomaly_gan.formats.reading.finding import BY_NAME_NOTE
from anomaly_gan.formats.reading.labelme import read
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.source import Picture, combine
from infra.errors import DataError
from tests.support.helpers import TEST_DATA
from tests.support.sources import MemoryTree, gray, png

EXAMPLES = TEST_DATA / "labelme_examples"
needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="AGAN_TEST_DATA has no labelme_examples")

SQUARE = [(4, 4), (12, 4), (12, 10), (4, 10)]


def shape(label: str = "dent", points: Any = SQUARE, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def file(*shapes: dict[str, Any], image: str | None = "a.png", **more: Any) -> bytes:
    stated = {"imageHeight": 24, "imageWidth": 32, "imageData": None}
    return json.dumps({"shapes": shapes, "imagePath": image, **stated, **more}).encode()


def load(json_bytes: bytes, path: str = "a.json", **files: bytes) -> Picture:
    tree = {"a.png": png(gray()), path: json_bytes} | {k.replace("__", "/"): v for k, v in files.items()}
    (item,) = (item for item in read(MemoryTree(tree)) if item.path == path)
    return item.load()


def folder_tree(folder: Path) -> MemoryTree:
    return MemoryTree({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})


def test_shapes_become_one_mask_and_numbered_instances_per_label() -> None:
    far = [(20, 12), (28, 12), (28, 20)]
    picture = load(file(shape(), shape(points=far), shape("hole", far)))
    assert sorted(picture.masks) == ["dent", "hole"]
    assert picture.masks["dent"][4:11, 4:13].all()
    assert np.unique(picture.instances["dent"]).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(picture.instances["hole"] > 0, picture.instances["dent"] == 2)


def test_shapes_of_one_group_id_are_one_instance() -> None:
    far = [(20, 12), (28, 12), (28, 20)]
    picture = load(file(shape(group_id=5), shape(points=far, group_id=5), shape(points=[(0, 20), (3, 20), (3, 23)])))
    instances = picture.instances["dent"]
    assert instances[5, 5] == instances[13, 27] == 1
    assert instances[20, 1] == 2


def test_a_file_without_shapes_is_a_normal_picture() -> None:
    assert load(file()).masks == {}


def test_labels_that_mean_nothing_are_skipped() -> None:
    assert load(file(shape("__ignore__"), shape("_background_"))).masks == {}


def test_a_picture_without_json_is_normal_only_in_a_folder_of_that_name() -> None:
    files = {"a.json": file(), "a.png": png(gray()), "b.png": png(gray()), "sub/good/c.png": png(gray())}
    assert [item.path for item in read(MemoryTree(files))] == ["a.json", "sub/good/c.png"]


def test_embedded_image_data_wins_over_image_path() -> None:
    embedded = gray(seed=9)
    picture = load(file(shape(), imageData=base64.b64encode(png(embedded)).decode()))
    np.testing.assert_array_equal(picture.image, embedded)
    assert picture.path == "a.json"


@pytest.mark.parametrize("written", ["../img/x.png", "..\\img\\x.png", ".././img/x.png"])
def test_image_path_is_relative_to_the_json_with_either_slash(written: str) -> None:
    picture = load(file(image=written), path="ann/b.json", img__x=b"", **{"img__x.png": png(gray(seed=4))})
    assert picture.path == "img/x.png"
    np.testing.assert_array_equal(picture.image, gray(seed=4))


@pytest.mark.parametrize("written", ["a.json", "C:\\Users\\me\\a.png", "/home/me/a.png", "gone.png", "", None])
def test_a_wrong_image_path_falls_back_to_the_picture_beside_the_json(written: str | None) -> None:
    assert load(file(image=written)).path == "a.png"


@pytest.mark.parametrize("written", ["../../a.png", "..\\..\\raw\\a.png", "C:\\x\\a.png"])
def test_a_path_of_another_machine_falls_back_to_the_picture_beside_the_file(written: str) -> None:
    picture = load(file(shape(), image=written), path="sub/a.json", **{"sub/a.png": png(gray(seed=3))})
    np.testing.assert_array_equal(picture.image, gray(seed=3))


def test_a_path_of_another_machine_falls_back_to_the_one_picture_of_that_name_and_it_is_told() -> None:
    picture = load(file(shape(), image="D:\\raw\\a.png"), path="ann/b.json")
    assert (picture.path, picture.notes) == ("a.png", (BY_NAME_NOTE,))


def test_a_json_without_its_picture_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^b.json: imagePath: names 'gone.png', but .* no picture of that name"):
        load(file(image="gone.png"), path="b.json")
    with pytest.raises(DataError, match=r"^b.json: imagePath names no picture; or copy the picture beside"):
        load(file(image=None), path="b.json")


RENAMED = {"a.png": png(gray()), "b.png": png(gray(seed=1)), "sub/b.png": png(gray(seed=2))}


@pytest.mark.parametrize(
    ("written", "other"),
    [("a.png", "a.png"), ("C:\\raw\\a.png", "a.png"), ("sub/b.png", "sub/b.png"), ("../x/a.png", "a.png")],
)
def test_two_pictures_that_a_file_may_mean_are_refused_until_the_user_says_which(written: str, other: str) -> None:
    tree = MemoryTree({**RENAMED, "b.json": file(shape(), image=written)})
    (item,) = read(tree)
    with pytest.raises(DataError, match=rf"^b.json: names {other}, but b.png has its own name; give --picture-by "):
        item.load()
    for picture_by, path in (("imagePath", other), ("name", "b.png")):
        (item,) = read(tree, ReadingOptions(picture_by=picture_by))  # type: ignore[arg-type]
        assert item.load().path == path


def test_two_pictures_of_the_files_name_are_refused_unless_image_path_says_which() -> None:
    files = {"a.png": png(gray()), "a.jpg": png(gray(seed=1))}
    (item,) = read(MemoryTree({**files, "a.json": file(shape(), image="a.jpg")}))
    assert item.load().path == "a.jpg"
    (item,) = read(MemoryTree({**files, "a.json": file(shape(), image="gone.png")}))
    with pytest.raises(DataError, match=r"^a.json: a.jpg and a.png both share its name; keep one"):
        item.load()


@pytest.mark.parametrize("embedded", [None, base64.b64encode(png(gray(seed=9))).decode()])
def test_two_files_on_one_picture_are_both_refused_with_both_names(embedded: str | None) -> None:
    tree = {"a.png": png(gray()), "a.json": file(shape()), "b.json": file(shape("hole"), imageData=embedded)}
    refused = []
    for item in read(MemoryTree(tree)):
        with pytest.raises(DataError) as error:
            item.load()
        refused.append(str(error.value))
    assert refused == [
        "a.json: is drawn on a.png, and so is b.json; keep one of them",
        "b.json: is drawn on a.png, and so is a.json; keep one of them",
    ]


@pytest.mark.parametrize("folder", ["normal", "good"])
@pytest.mark.parametrize("embedded", [None, base64.b64encode(png(gray(seed=9))).decode()])
def test_a_picture_that_is_normal_by_its_folder_and_anomalous_by_a_file_elsewhere_is_refused(
    folder: str, embedded: str | None
) -> None:
    drawn = file(shape(), image=f"../{folder}/n.png", imageData=embedded)
    items = read(MemoryTree({f"{folder}/n.png": png(gray()), "ann/x.json": drawn}))
    assert {item.path for item in items} == {f"{folder}/n.png", "ann/x.json"}
    for item in items:
        with pytest.raises(DataError, match=rf"^{folder}/n.png: is normal by its folder and anomalous by ann/x.json"):
            item.load()


def test_a_normal_picture_with_an_empty_file_elsewhere_is_one_normal_picture() -> None:
    tree = {"normal/n.png": png(gray()), "ann/x.json": file(image="../normal/n.png")}
    (item,) = read(MemoryTree(tree))
    assert (item.load().path, item.load().masks) == ("normal/n.png", {})


def test_more_anomalies_than_an_instance_map_can_number_are_refused() -> None:
    pixel = np.ones((1, 1), np.uint8)
    parts = (("dent", number, pixel) for number in range(1 << 16))
    with pytest.raises(DataError, match=r"^a.json: has more than 65535 anomalies of 'dent'; unite some of them"):
        combine(parts, "a.json")


QUAD = [(4, 4), (14, 7), (12, 13), (2, 10)]


@pytest.mark.parametrize("kind", ["rectangle", "rotation", "oriented_rectangle", "quadrilateral"])
def test_boxes_with_four_corners_are_drawn_as_polygons(kind: str) -> None:
    drawn = load(file(shape(points=QUAD, kind=kind))).masks["dent"]
    np.testing.assert_array_equal(drawn, load(file(shape(points=QUAD))).masks["dent"])


def test_an_upright_rectangle_is_the_same_from_two_corners_and_from_four() -> None:
    two = load(file(shape(points=[SQUARE[2], SQUARE[0]], kind="rectangle"))).masks["dent"]
    np.testing.assert_array_equal(two, load(file(shape(points=SQUARE, kind="rectangle"))).masks["dent"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_json_is_read_with_or_without_a_byte_order_mark(encoding: str) -> None:
    assert load(file(shape("ä")).decode().encode(encoding)).masks.keys() == {"ä"}


def test_a_file_drawn_on_another_size_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^a.json: was drawn on 24 x 32 pixels, but a.png has 32 x 24"):
        load(file(imageHeight=32, imageWidth=24))


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"images": []}', b'{"shapes": [{"points": []}]}'])
def test_json_that_is_no_labelme_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^a.json: not a labelme file"):
        load(data)


def test_a_shape_outside_the_picture_is_refused_as_empty_mask() -> None:
    with pytest.raises(DataError, match=r"^a.json: the mask of 'dent' is empty"):
        load(file(shape(points=[(50, 50), (60, 50), (60, 60)])))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (shape(points=SQUARE[:3], kind="rotation"), "a rotation needs 4 points, got 3"),
        (shape(points=SQUARE[:3], kind="rectangle"), "a rectangle needs 2 points, got 3"),
        (shape(kind="spline"), "unknown shape type 'spline'"),
        (shape(points=SQUARE[:2]), "a polygon needs at least 3 points, got 2"),
        (shape(kind="circle"), "a circle needs 2 points, got 4"),
        (shape(points=[(0, 0), (1e9, 0), (0, 5)]), "a point lies far outside"),
        (shape(points=SQUARE[:2], kind="mask", mask="!!"), "not a readable picture"),
        (shape(points=SQUARE[:2], kind="mask", mask="a"), "not base64"),
    ],
)
def test_a_broken_shape_is_refused_by_file_number_and_label(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"^a.json: shape 1 \(dent\): {message}"):
        load(file(shape(), bad))


def test_a_mask_shape_is_placed_at_its_box_and_cut_at_the_border() -> None:
    bitmap = base64.b64encode(png(np.array([[0, 1, 1], [1, 1, 1]], np.uint8))).decode()
    picture = load(file(shape(points=[(30, 23), (32, 24)], kind="mask", mask=bitmap)))
    assert np.argwhere(picture.masks["dent"]).tolist() == [[23, 31]]


@needs_examples
@pytest.mark.parametrize("kind", ["semantic_segmentation", "instance_segmentation"])
def test_polygons_agree_with_labelmes_own_rasterisation(kind: str) -> None:
    labels = (EXAMPLES / kind / "labels.txt").read_text().splitlines()
    agreeing = pixels = 0
    for item in read(folder_tree(EXAMPLES / kind / "data_annotated")):
        picture = item.load()
        name = item.path.replace(".json", ".png")
        stored = np.array(Image.open(EXAMPLES / kind / "data_dataset_voc/SegmentationClass" / name))
        ignored = stored == 255
        background = np.ones(stored.shape, bool)
        for label, mask in picture.masks.items():
            background &= mask == 0
            of_label = stored == labels.index(label) - 1  # the first line, __ignore__, is -1
            agreeing += int((mask[of_label] == 1).sum())  # a later shape of another label may own the rest
        agreeing += int((background & (stored == 0)).sum() + ignored.sum())
        pixels += stored.size
    assert agreeing >= 0.9999 * pixels


@needs_examples
def test_group_ids_give_the_instances_of_labelmes_own_export() -> None:
    folder = EXAMPLES / "instance_segmentation"
    items = {item.key: item.load() for item in read(folder_tree(folder / "data_annotated"))}
    assert items["2011_000003"].instances["person"].max() == 2  # three shapes, two of one group
    assert items["2011_000006"].instances["sofa"].max() == 1
    stored = np.array(Image.open(folder / "data_dataset_voc/SegmentationObject/2011_000003.png"))
    for number in (1, 2):
        ours = items["2011_000003"].instances["person"] == number
        values, counts = np.unique(stored[ours], return_counts=True)
        assert counts.max() / ours.sum() > 0.99, values


@needs_examples
def test_every_primitive_shape_is_drawn() -> None:
    (item,) = read(folder_tree(EXAMPLES / "primitives"))
    areas = {label: int(mask.sum()) for label, mask in item.load().masks.items()}
    assert sorted(areas) == ["circle", "line", "line_strip", "octagon", "point", "polygon", "rectangle"]
    assert areas["rectangle"] == 101 * 101 + 152 * 103
    radius = float(np.hypot(30, 41))
    assert areas["circle"] == pytest.approx(np.pi * radius**2, rel=0.01)
    assert areas["line"] == pytest.approx(10 * np.hypot(28, 46), rel=0.1)
    assert areas["point"] == pytest.approx(np.pi * 5.5**2, rel=0.1)
    assert 0.7 * 100 * 100 < areas["octagon"] < 0.9 * 100 * 100


@needs_examples
def test_the_tutorial_file_loads_from_its_embedded_picture() -> None:
    (item,) = read(folder_tree(EXAMPLES / "tutorial"))
    picture = item.load()
    assert picture.image.shape == (907, 1210, 3)
    assert len(picture.masks) == 4
    stored = np.array(Image.open(EXAMPLES / "tutorial/apc2016_obj3/label.png"))
    drawn = np.zeros(stored.shape, bool)
    for mask in picture.masks.values():
        drawn |= mask == 1
    assert (drawn == (stored > 0)).mean() > 0.9999


@needs_examples
def test_boxes_are_masks_and_files_with_flags_only_are_normal() -> None:
    boxes = [item.load() for item in read(folder_tree(EXAMPLES / "bbox_detection/data_annotated"))]
    assert [picture.instances["person"].max() for picture in boxes[:2]] == [2, 4]
    flags = [item.load() for item in read(folder_tree(EXAMPLES / "classification/data_annotated"))]
    assert [picture.masks for picture in flags] == [{}, {}]
