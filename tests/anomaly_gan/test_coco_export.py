"""The COCO document of generated samples, read by an independent decoder."""

import json

import numpy as np
import pytest
from faster_coco_eval.core import mask as mask_api
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.coco_export import coco_document, coco_rows, run_lengths
from anomaly_gan.data import Sample


def decoded(segmentation: dict[str, list[int]]) -> NDArray[np.uint8]:
    height, width = segmentation["size"]
    return np.asarray(mask_api.decode(mask_api.frPyObjects(segmentation, height, width)), np.uint8)


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
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 3:9] = mask[12:20, 29:30] = 1
    return mask


def blank(key: str, **masks: NDArray[np.uint8]) -> Sample:
    return Sample(key, np.zeros((20, 30), np.uint8), masks)


def test_every_connected_part_is_an_instance_with_box_area_and_mask() -> None:
    [row] = coco_rows([blank("gen-00000007", hole=two_parts())], "part-0.tar")
    assert (row["file_name"], row["shard"]) == ("gen-00000007.image.png", "part-0.tar")
    assert (row["width"], row["height"]) == (30, 20)
    assert [(one["class"], one["bbox"], one["area"]) for one in row["instances"]] == [
        ("hole", [3, 2, 6, 3], 18),
        ("hole", [29, 12, 1, 8], 8),
    ]
    assert np.array_equal(sum(decoded(one["segmentation"]) for one in row["instances"]), two_parts())


def test_instances_go_by_their_annotation_whose_numbers_may_have_gaps() -> None:
    numbers = two_parts().astype(np.uint16) * np.uint16(2)
    numbers[12:16, 29] = 5
    sample = Sample("a", np.zeros((20, 30), np.uint8), {"hole": two_parts()}, {"hole": numbers})
    [row] = coco_rows([sample], "s.tar")
    assert [one["area"] for one in row["instances"]] == [22, 4]


def test_the_document_numbers_images_annotations_and_categories_from_1() -> None:
    crack = np.eye(20, 30, dtype=np.uint8)
    samples = [blank("a", hole=two_parts()), blank("b"), blank("c", hole=two_parts(), crack=crack)]
    document = json.loads(json.dumps(coco_document(coco_rows(samples, "s.tar"))))
    assert document["categories"] == [{"id": 1, "name": "crack"}, {"id": 2, "name": "hole"}]
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert all("instances" not in image for image in document["images"])
    told = [(one["id"], one["image_id"], one["category_id"]) for one in document["annotations"]]
    assert told == [(1, 1, 2), (2, 1, 2), (3, 3, 1), (4, 3, 2), (5, 3, 2)]
    assert all(one["iscrowd"] == 0 and "class" not in one for one in document["annotations"])
