"""The COCO document, read by an independent decoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as mask_api
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.formats.writing.coco import run_lengths
from anomaly_gan.samples.sample import Sample
from tests.support.builders_export import HEIGHT, WIDTH, blank, crack, sample, samples, write


def decoded(segmentation: dict[str, list[int]]) -> NDArray[np.uint8]:
    height, width = segmentation["size"]
    return np.asarray(mask_api.decode(mask_api.frPyObjects(segmentation, height, width)), np.uint8)


def document(folder: Path, *written: Sample) -> dict[str, Any]:
    write(folder, "coco", written)
    told: dict[str, Any] = json.loads((folder / "annotations.json").read_bytes())
    return told


@settings(max_examples=80, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 1)))
def test_run_lengths_are_decoded_to_the_same_mask(mask: NDArray[np.uint8]) -> None:
    told = run_lengths(mask)
    assert np.array_equal(decoded(told), mask)
    assert sum(told["counts"]) == mask.size
    assert all(count > 0 for count in told["counts"][1:])


@pytest.mark.parametrize(("level", "counts"), [(0, [12]), (1, [0, 12])])
def test_counts_begin_with_zeros_also_where_the_mask_has_none(level: int, counts: list[int]) -> None:
    assert run_lengths(np.full((3, 4), level, np.uint8)) == {"size": [3, 4], "counts": counts}


def two_parts() -> NDArray[np.uint8]:
    mask = blank()
    mask[2:5, 3:9] = mask[12:20, 29:30] = 1
    return mask


def test_every_connected_part_is_an_instance_with_box_area_and_mask(tmp_path: Path) -> None:
    told = document(tmp_path / "out", sample("gen-00000007", hole=two_parts()))
    assert told["images"] == [{"id": 1, "file_name": "images/gen-00000007.png", "width": WIDTH, "height": HEIGHT}]
    assert [(one["bbox"], one["area"]) for one in told["annotations"]] == [([3, 2, 6, 3], 18), ([29, 12, 1, 8], 8)]
    assert np.array_equal(sum(decoded(one["segmentation"]) for one in told["annotations"]), two_parts())


def test_instances_go_by_their_annotation_whose_numbers_may_have_gaps(tmp_path: Path) -> None:
    numbers = two_parts().astype(np.uint16) * np.uint16(2)
    numbers[12:16, 29] = 5
    told = document(tmp_path / "out", Sample("a", blank(), {"hole": two_parts()}, {"hole": numbers}))
    assert [one["area"] for one in told["annotations"]] == [22, 4]


def test_images_annotations_and_categories_by_name_are_numbered_from_1(tmp_path: Path) -> None:
    written = [sample("a", hole=two_parts()), sample("b"), sample("c", hole=two_parts(), crack=crack(2))]
    told = document(tmp_path / "out", *written)
    assert told["categories"] == [{"id": 1, "name": "crack"}, {"id": 2, "name": "hole"}]
    assert [image["id"] for image in told["images"]] == [1, 2, 3]
    numbers = [(one["id"], one["image_id"], one["category_id"]) for one in told["annotations"]]
    assert numbers == [(1, 1, 2), (2, 1, 2), (3, 3, 1), (4, 3, 2), (5, 3, 2)]
    assert all(one["iscrowd"] == 0 for one in told["annotations"])


def test_the_document_stands_alone_beside_the_pictures(tmp_path: Path) -> None:
    write(tmp_path / "out", "coco", samples())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["annotations.json", "images"]


def test_a_document_without_any_image_is_valid(tmp_path: Path) -> None:
    assert document(tmp_path / "out") == {"images": [], "annotations": [], "categories": []}


def test_cocos_own_tools_read_the_document(tmp_path: Path) -> None:
    write(tmp_path / "out", "coco", samples())
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    masks = {one.key: one.masks for one in samples()}
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    for image in coco.loadImgs(coco.getImgIds()):
        found = {name: blank() for name in masks[Path(image["file_name"]).stem]}
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            found[names[annotation["category_id"]]] |= np.asarray(coco.annToMask(annotation), np.uint8)
        for name, mask in masks[Path(image["file_name"]).stem].items():
            np.testing.assert_array_equal(found[name], mask)
