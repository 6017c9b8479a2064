"""The mask pool: what is cut from annotated pictures, what it is called and where it may go."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.masks.pool.pool import Element, MaskPool, build_pool, crop_element
from anomaly_gan.samples.instances import instance_map
from anomaly_gan.samples.sample import Sample, decode_png
from infra.errors import DataError

Mask = NDArray[np.uint8]


def sample(mask: Mask, key: str = "a", **instances: NDArray[np.uint16]) -> Sample:
    return Sample(key, np.zeros(mask.shape, np.uint8), {"hole": mask}, instances)


def boxes(*parts: tuple[int, int, int, int]) -> Mask:
    """A mask of 40 x 50 px with the boxes (top, left, height, width)."""
    mask = np.zeros((40, 50), np.uint8)
    for top, left, height, width in parts:
        mask[top : top + height, left : left + width] = 1
    return mask


ELL = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], np.uint8)


def test_every_connected_part_is_an_element_cut_to_its_box() -> None:
    mask = boxes((3, 5, 4, 6))
    mask[20:24, 30:33] = ELL
    pool = build_pool([sample(mask), sample(boxes((0, 0, 2, 9)), "b")], "hole")
    assert pool.class_name == "hole"
    assert [(one.source, one.top, one.left, one.mask.shape) for one in pool.elements] == [
        ("a", 3, 5, (4, 6)),
        ("a", 20, 30, (4, 3)),
        ("b", 0, 0, (2, 9)),
    ]
    assert np.array_equal(pool.elements[1].mask, ELL)


def test_parts_that_touch_at_a_corner_are_one_element() -> None:
    pool = build_pool([sample(boxes((3, 3, 4, 4), (7, 7, 4, 4)))], "hole")
    assert [one.mask.sum() for one in pool.elements] == [32]


def test_annotated_instances_go_before_connected_parts() -> None:
    numbers = np.zeros((40, 50), np.uint16)
    numbers[3:7, 3:7] = 2  # touches the next one; 1 is not used
    numbers[3:7, 7:12] = 5
    numbers[20:24, 3:5] = 5
    cut = build_pool([sample((numbers > 0).astype(np.uint8), hole=numbers)], "hole").elements
    assert [(one.top, one.left, one.mask.shape, int(one.mask.sum())) for one in cut] == [
        (3, 3, (4, 4), 16),
        (3, 3, (21, 9), 28),
    ]
    assert instance_map(sample((numbers > 0).astype(np.uint8), hole=numbers), "hole").max() == 5


@pytest.mark.parametrize(
    ("parts", "areas"),
    [
        (((0, 0, 10, 10), (20, 20, 3, 3)), [100]),  # less than a tenth of the largest
        (((0, 0, 10, 10), (20, 20, 2, 5)), [100, 10]),
        (((0, 0, 1, 3), (20, 20, 2, 2)), [4]),  # less than 4 px
    ],
)
def test_specks_are_dropped(parts: tuple[tuple[int, int, int, int], ...], areas: list[int]) -> None:
    assert [one.mask.sum() for one in build_pool([sample(boxes(*parts))], "hole").elements] == areas


def test_pictures_of_other_classes_and_normal_ones_are_passed_over() -> None:
    other = Sample("b", np.zeros((40, 50), np.uint8), {"crack": boxes((0, 0, 9, 9))})
    normal = Sample("n", np.zeros((40, 50), np.uint8))
    assert [one.source for one in build_pool([other, normal, sample(boxes((0, 0, 5, 5)))], "hole").elements] == ["a"]


@pytest.mark.parametrize("samples", [[], [sample(boxes((0, 0, 1, 2)))]])
def test_an_empty_pool_is_refused_by_class(samples: list[Sample]) -> None:
    with pytest.raises(DataError, match=r"^mask pool: no mask of class hole has a part of 4 px or more"):
        build_pool(samples, "hole")


def test_a_pool_knows_how_many_parts_each_annotated_image_has() -> None:
    two, one = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    two[2:6, 2:6] = two[10:14, 10:14] = one[3:9, 3:9] = 1
    samples = [Sample(str(i), np.zeros((20, 20), np.uint8), {"hole": mask}) for i, mask in enumerate((two, one, one))]
    assert build_pool(samples, "hole").part_counts == (1, 1, 2)


def test_ids_tell_the_origin_and_are_unique_also_for_equal_shapes() -> None:
    mask = boxes((0, 0, 4, 6), (20, 20, 4, 6), (30, 2, 6, 4))
    cut = build_pool([sample(mask), sample(mask, "b")], "hole").elements
    drawn = [replace(element, is_expert=True) for element in cut]
    ids = [element.id for element in (*cut, *drawn)]
    assert len(set(ids)) == 12
    assert [one.partition("-")[0] for one in ids] == ["prior"] * 6 + ["expert"] * 6


def test_an_id_stays_whatever_else_the_pool_holds_and_changes_with_the_shape() -> None:
    alone = build_pool([sample(boxes((20, 20, 4, 6)))], "hole").elements
    beside = build_pool(
        [sample(boxes((3, 3, 5, 5)), "0"), sample(boxes((2, 2, 3, 3), (20, 20, 4, 6)))], "hole"
    ).elements
    assert alone[0].id == beside[2].id
    changed = [boxes((20, 20, 4, 5)), boxes((20, 21, 4, 6)), boxes((21, 20, 4, 6))]
    assert alone[0].id not in {build_pool([sample(mask)], "hole").elements[0].id for mask in changed}


def test_the_stored_png_holds_the_mask() -> None:
    element = crop_element("a", boxes((20, 20, 4, 6)))
    assert np.array_equal(decode_png(element.png, "a"), np.full((4, 6), 255))
    assert (element.area_px, element.top, element.left, element.is_expert) == (24, 20, 20, False)


def test_prior_elements_are_those_that_no_expert_drew() -> None:
    cut, drawn = (Element("a", ELL, 0, 0, is_expert=is_expert) for is_expert in (False, True))
    assert MaskPool("hole", (drawn, cut, drawn)).prior_elements == (cut,)


def test_a_region_is_stretched_over_every_picture_but_those_with_one_of_their_own() -> None:
    own = boxes((5, 5, 9, 9))
    pool = MaskPool("hole", (), region=np.array([[0, 1], [0, 0]], np.uint8), regions={"b": own})
    stretched = pool.allowed(sample(boxes()))
    assert stretched is not None
    assert np.array_equal(stretched, boxes((0, 25, 20, 25)))
    assert pool.allowed(sample(boxes(), "b")) is own
    assert MaskPool("hole", ()).allowed(sample(boxes())) is None


def test_a_pool_knows_the_severity_of_all_its_pictures() -> None:
    pool = build_pool([sample(boxes((3, 3, 5, 4))), sample(boxes((3, 3, 8, 5), (20, 20, 10, 6)), "b")], "hole")
    assert pool.severity is not None
    assert pool.severity.area_px == pytest.approx((20, 20 + 80 / 3, 20 + 160 / 3, 100))  # all parts of a picture
