import json
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask

from anomaly_gan.formats.reading import labelme
from anomaly_gan.formats.reading.coco import read
from anomaly_gan.formats.reading.finding import BY_NAME_NOTE
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.source import Picture
from infra.errors import DataError
from tests.support.helpers import TEST_DATA
from tests.support.sources import MemoryTree, blob, gray, png

EXAMPLE = TEST_DATA / "labelme_examples" / "instance_segmentation"
MASK = (blob() > 0).astype(np.uint8)
POLYGON = [[5, 4, 13, 4, 13, 10, 5, 10]]


def uncompressed(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}


def compressed(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    run_lengths = coco_mask.encode(np.asfortranarray(mask))
    counts = run_lengths["counts"]
    text = counts.decode() if isinstance(counts, bytes) else counts
    return {"size": list(mask.shape), "counts": text}


def annotation(number: int = 1, segmentation: Any = None, **more: Any) -> dict[str, Any]:
    segmentation = POLYGON if segmentation is None else segmentation
    return {"id": number, "image_id": 7, "category_id": 3, "segmentation": segmentation, "iscrowd": 0} | more


def file(*annotations: dict[str, Any], **more: Any) -> bytes:
    image = {"id": 7, "file_name": "a.png", "height": 24, "width": 32}
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 3, "name": "dent"}]}
    return json.dumps(content | more).encode()


def load(json_bytes: bytes, **files: bytes) -> Picture:
    (item,) = read(MemoryTree({"a.png": png(gray()), "ann/all.json": json_bytes} | files))
    return item.load()


@pytest.mark.parametrize("segmentation", [POLYGON, uncompressed(MASK), compressed(MASK)])
def test_polygons_and_run_lengths_give_the_same_mask(segmentation: Any) -> None:
    np.testing.assert_array_equal(load(file(annotation(segmentation=segmentation))).masks["dent"], MASK)


def test_every_annotation_is_an_instance_and_its_polygons_are_one() -> None:
    two = [*POLYGON, [20, 12, 28, 12, 28, 20, 20, 20]]
    picture = load(file(annotation(1, two), annotation(2, [[0, 20, 3, 20, 3, 23]])))
    assert picture.instances["dent"][5, 6] == picture.instances["dent"][15, 22] == 1
    assert picture.instances["dent"].max() == 2


def test_a_crowd_is_drawn_as_one_instance() -> None:
    picture = load(file(annotation(segmentation=uncompressed(MASK), iscrowd=1)))
    np.testing.assert_array_equal(picture.instances["dent"], MASK)


def test_a_picture_without_annotation_is_normal_and_background_is_skipped() -> None:
    assert load(file()).masks == {}
    background = file(annotation(), categories=[{"id": 3, "name": "_background_"}])
    assert load(background).masks == {}


@pytest.mark.parametrize("place", ["a.png", "ann/a.png", "images/train/a.png"])
def test_pictures_are_found_beside_the_json_below_the_folder_or_by_the_end_of_their_path(place: str) -> None:
    (item,) = read(MemoryTree({place: png(gray()), "ann/all.json": file()}))
    assert item.load().path == place


def test_a_missing_picture_is_refused_by_name() -> None:
    (item,) = read(MemoryTree({"ann/all.json": file()}))
    with pytest.raises(DataError, match=r"^ann/all.json: names 'a.png', but .* holds no picture of that name"):
        item.load()


def test_an_ambiguous_picture_is_refused_by_name() -> None:
    (item,) = read(MemoryTree({"x/a.png": b"", "y/a.png": b"", "ann/all.json": file()}))
    with pytest.raises(DataError, match=r"^ann/all.json: names 'a.png', but .* holds 2 pictures"):
        item.load()


@pytest.mark.parametrize("written", ["../../a.png", "C:\\data\\a.png", "/home/me/a.png"])
def test_a_path_of_another_machine_means_the_one_picture_of_that_name_and_it_is_told(written: str) -> None:
    images = [{"id": 7, "file_name": written}]
    (item,) = read(MemoryTree({"img/a.png": png(gray()), "ann/all.json": file(annotation(), images=images)}))
    picture = item.load()
    assert picture.path == "img/a.png"
    assert picture.notes == ((BY_NAME_NOTE,) if "/" in written[:2] or "\\" in written else ())
    (item,) = read(MemoryTree({"ann/all.json": file(images=images)}))
    with pytest.raises(DataError, match=r"^ann/all.json: names '.*a.png', but .* no picture of that name"):
        item.load()


def test_a_picture_listed_twice_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^a.png: is listed twice, by ann/all.json and by ann/more.json"):
        load(file(), **{"ann/more.json": file()})


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "has no segmentation, and a box alone is no mask"),
        ([[1, 2, 3, 4]], "a polygon needs at least 3 points"),
        ([[0, 0, 1e9, 0, 5, 5]], "a polygon needs at least 3 points near its picture"),
        ({"size": [24, 32], "counts": [3, 9999]}, "broken segmentation"),
        ({"size": [24, 32], "counts": "zzzz"}, "broken segmentation"),
        ({"size": [10, 12], "counts": [120]}, "its mask has 12 x 10 pixels, its picture 32 x 24"),
    ],
)
def test_a_broken_segmentation_is_refused_by_file_and_annotation(segmentation: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^ann/all.json: annotation 1: {message}"):
        load(file(annotation(segmentation=segmentation)))


def test_an_empty_mask_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^a.png: the mask of 'dent' is empty"):
        load(file(annotation(segmentation={"size": [24, 32], "counts": [768]})))


def test_a_picture_of_another_size_than_stated_is_refused_by_name() -> None:
    images = [{"id": 7, "file_name": "a.png", "height": 24, "width": 40}]
    with pytest.raises(DataError, match=r"^ann/all.json: says that a.png has 40 x 24 pixels, it has 32 x 24"):
        load(file(images=images))


def test_an_unlisted_category_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^ann/all.json: annotation 1: category 4 is not listed"):
        load(file(annotation(category_id=4)))


IMAGE = {"id": 7, "file_name": "a.png", "height": 24, "width": 32}
OTHER = {"id": 8, "file_name": "b.png", "height": 24, "width": 32}


def load_all(json_bytes: bytes) -> dict[str, Picture | str]:
    """Path -> the picture, or the sentence with which it is refused."""
    found: dict[str, Picture | str] = {}
    for item in read(MemoryTree({"a.png": png(gray()), "b.png": png(gray(seed=1)), "all.json": json_bytes})):
        try:
            found[item.path] = item.load()
        except DataError as err:
            found[item.path] = str(err)
    return found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"images": [IMAGE, {**OTHER, "id": 7}]}, "image id 7 stands twice, for 'a.png' and 'b.png'"),
        ({"images": [IMAGE, {**OTHER, "id": "7"}]}, "image id 7 stands twice, for 'a.png' and 'b.png'"),
        ({"images": [IMAGE, {**OTHER, "id": 7.0}]}, "image id 7 stands twice, for 'a.png' and 'b.png'"),
        (
            {"categories": [{"id": 3, "name": "dent"}, {"id": 3, "name": "stain"}]},
            "category id 3 stands twice, for 'dent' and 'stain'",
        ),
        (
            {"categories": [{"id": 3, "name": "dent"}, {"id": "3", "name": "dent"}]},
            "category id 3 stands twice, for 'dent' and 'dent'",
        ),
    ],
)
def test_an_id_of_images_or_categories_that_stands_twice_is_refused_with_both(
    more: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"^all.json: {message}; give each an id of its own$"):
        load_all(file(annotation(), **more))


@pytest.mark.parametrize("image_ids", [(7, 7), (7, 8)])
def test_annotations_of_one_id_never_merge(image_ids: tuple[int, int]) -> None:
    twice = [annotation(5, image_id=image_id) for image_id in image_ids]
    found = load_all(file(*twice, images=[IMAGE, OTHER]))
    names = ["b.png" if image_id == 8 else "a.png" for image_id in image_ids]
    told = f"all.json: annotation 5: stands twice, in place 0 (of a.png) and in place 1 (of {names[1]}); give each an"
    assert all(str(found[name]).startswith(told) for name in names)
    assert image_ids == (7, 8) or isinstance(found["b.png"], Picture)


def test_ids_written_as_numbers_and_as_text_are_the_same() -> None:
    picture = load_all(file(annotation(image_id="7", category_id="3")))["a.png"]
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.masks["dent"], MASK)


def test_a_box_is_a_mask_only_where_the_user_says_so() -> None:
    boxed = file(annotation(segmentation=[], bbox=[5, 4, 8, 6]))
    (item,) = read(MemoryTree({"a.png": png(gray()), "all.json": boxed}), ReadingOptions(boxes_as_masks=True))
    np.testing.assert_array_equal(item.load().masks["dent"], MASK)
    assert "--boxes-as-masks" in str(load_all(boxed)["a.png"])
    (item,) = read(
        MemoryTree({"a.png": png(gray()), "all.json": file(annotation(segmentation=[], bbox=[5, 4, 0, 6]))}),
        ReadingOptions(boxes_as_masks=True),
    )
    with pytest.raises(DataError, match=r"annotation 1: has neither a segmentation nor a box of four numbers"):
        item.load()


def test_a_flat_polygon_is_read() -> None:
    picture = load_all(file(annotation(segmentation=POLYGON[0])))["a.png"]
    assert isinstance(picture, Picture)
    np.testing.assert_array_equal(picture.masks["dent"], MASK)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"segmentation": None}, "all.json: annotation 1: has no segmentation"),
        ({"segmentation": "none"}, "all.json: annotation in place 0: segmentation: "),
        ({"segmentation": [["a", "b"]]}, "all.json: annotation in place 0: segmentation: "),
        ({"segmentation": [[float("nan")] * 6]}, "all.json: annotation in place 0: segmentation: "),
        ({"segmentation": [[]]}, "all.json: annotation 1: a polygon needs"),
        ({"segmentation": {"size": [24], "counts": []}}, "all.json: annotation in place 0: segmentation: "),
        ({"category_id": None}, "all.json: annotation in place 0: category_id: "),
        ({"id": None}, "all.json: annotation in place 0: id: "),
        ({"id": [1]}, "all.json: annotation in place 0: id: "),
    ],
)
def test_one_odd_annotation_costs_its_own_picture_only(odd: dict[str, Any], message: str) -> None:
    bad = annotation() | odd
    found = load_all(file(bad, annotation(2, image_id=8), images=[IMAGE, OTHER]))
    assert str(found["a.png"]).startswith(message)
    assert isinstance(found["b.png"], Picture) and found["b.png"].masks["dent"].any()


@pytest.mark.parametrize("bad", [{"id": 1}, {"image_id": None}, None, 5, {"image_id": {}}])
def test_an_annotation_whose_picture_is_not_known_is_refused_with_its_place(bad: object) -> None:
    with pytest.raises(DataError, match=r"^all.json: annotation in place 1: has no image_id that can be read"):
        load_all(file(annotation(), bad))  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_json_is_read_with_or_without_a_byte_order_mark(encoding: str) -> None:
    assert isinstance(load_all(file(annotation()).decode().encode(encoding))["a.png"], Picture)


def test_json_of_another_kind_beside_an_annotation_file_is_left_out() -> None:
    others = {"info.json": b'{"version": 1}', "list.json": b"[]", "shapes.json": b'{"shapes": []}'}
    assert load(file(annotation()), **others).masks["dent"].any()


@pytest.mark.parametrize("data", [b"{", b'{"images": 5}', b"\xff\xfe{", b'{"annotations": []}'])
def test_broken_json_beside_an_annotation_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^more.json: not "):
        load(file(annotation()), **{"more.json": data})


@pytest.mark.parametrize("data", [b"{", b'{"shapes": []}', file(annotation(image_id=8))])
def test_json_that_is_no_coco_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^ann/all.json: "):
        read(MemoryTree({"ann/all.json": data}))


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="AGAN_TEST_DATA has no labelme_examples")
def test_labelmes_coco_export_agrees_with_its_json_files() -> None:
    files = {path.name: path.read_bytes() for path in (EXAMPLE / "data_annotated").iterdir()}
    pictures = {f"JPEGImages/{k}": v for k, v in files.items() if k.endswith(".jpg")}
    annotations = {"annotations.json": (EXAMPLE / "data_dataset_coco/annotations.json").read_bytes()}
    drawn = {item.key: item.load() for item in labelme.read(MemoryTree(files))}
    exported = {item.key.removeprefix("JPEGImages-"): item.load() for item in read(MemoryTree(pictures | annotations))}
    assert exported.keys() == drawn.keys()
    for key, picture in exported.items():
        assert picture.masks.keys() == drawn[key].masks.keys()
        for label, mask in picture.masks.items():
            other = drawn[key].masks[label]
            # COCO leaves the outline out
            assert (mask & other).sum() / (mask | other).sum() > 0.92, (key, label)
            assert picture.instances[label].max() == drawn[key].instances[label].max()
