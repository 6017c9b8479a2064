"""The mask pool, and masks placed from it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.data import Sample
from anomaly_gan.masks.placement import place
from anomaly_gan.masks.pool import Element, MaskPool, build_pool, instance_map
from anomaly_gan.masks.transform import transform
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


def pool_of(*masks: Mask) -> MaskPool:
    return MaskPool("hole", tuple(Element(f"picture-{i}", mask, 0, 0) for i, mask in enumerate(masks)))


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


shapes = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90)), elements=st.integers(0, 1), fill=st.just(1)
).filter(lambda shape: bool(shape.any()))
configs = st.fixed_dictionaries(
    {
        "pose": st.sampled_from(["free", "fixed"]),
        "max_parts": st.integers(1, 4),
        "scale_min": st.floats(0.05, 1),
        "scale_max": st.floats(1, 4),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3), configs, st.integers(0, 99))
def test_a_placed_mask_is_binary_and_never_empty_and_its_seed_decides_it(
    masks: list[Mask], config: dict[str, Any], seed: int
) -> None:
    pool, wanted = pool_of(*masks), MaskConfig.model_validate(config)
    placed = place(pool, 64, wanted, np.random.default_rng(seed))
    mask, placements = placed.mask, placed.placements
    assert mask.shape == (64, 64) and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1} and mask.any()
    assert 1 <= len(placements) <= wanted.max_parts
    assert all(0 <= one.left < 64 and 0 <= one.top < 64 for one in placements)
    again = place(pool, 64, wanted, np.random.default_rng(seed))
    assert np.array_equal(again.mask, mask) and again.placements == placements


def test_seeds_give_differing_masks_from_all_elements_and_all_numbers_of_parts() -> None:
    pool = pool_of(ELL, np.ones((5, 5), np.uint8))
    drawn = [place(pool, 64, MaskConfig(max_parts=3), np.random.default_rng(seed)) for seed in range(60)]
    assert len({one.mask.tobytes() for one in drawn}) == 60
    assert {len(one.placements) for one in drawn} == {1, 2, 3}
    assert {part.source for one in drawn for part in one.placements} == {"picture-0", "picture-1"}


def test_elements_reach_every_border_of_the_view() -> None:
    config = MaskConfig(pose="fixed", max_parts=1)
    masks = [place(pool_of(ELL), 16, config, np.random.default_rng(seed)).mask for seed in range(200)]
    reached = np.maximum.reduce(masks)
    assert all(edge.any() for edge in (reached[0], reached[-1], reached[:, 0], reached[:, -1]))


def test_a_fixed_pose_keeps_the_shape_exactly_and_tells_where_it_is() -> None:
    config = MaskConfig(pose="fixed", max_parts=1)
    for seed in range(20):
        placed = place(pool_of(ELL), 64, config, np.random.default_rng(seed))
        mask, [placement] = placed.mask, placed.placements
        assert mask.sum() == ELL.sum()
        part = mask[placement.top : placement.top + 4, placement.left : placement.left + 3]
        assert np.array_equal(part, ELL)
        assert (placement.angle_deg, placement.scale) == (0, 1)


def test_a_free_pose_tells_angle_and_scale_within_the_configured_range() -> None:
    config = MaskConfig(max_parts=1, scale_min=0.8, scale_max=1.1)
    told = [place(pool_of(ELL), 64, config, np.random.default_rng(seed)).placements[0] for seed in range(60)]
    assert all(0.8 <= one.scale <= 1.1 and 0 <= one.angle_deg < 360 for one in told)
    assert min(one.angle_deg for one in told) < 60 and max(one.angle_deg for one in told) > 300


def disc(radius: int) -> Mask:
    rows, columns = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    return (rows**2 + columns**2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("shape", [disc(10), np.ones((12, 30), np.uint8), np.tril(np.ones((24, 24), np.uint8))])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_turned_and_scaled_shape_keeps_its_area_within_a_few_percent(shape: Mask, scale: float) -> None:
    turned = [transform(shape, angle, scale) for angle in range(0, 360, 7)]
    wanted = shape.sum() * scale**2
    assert np.mean([one.sum() for one in turned]) == pytest.approx(wanted, rel=0.03)
    assert all(0.88 * wanted < one.sum() < 1.12 * wanted for one in turned)


def test_a_turned_shape_is_cut_to_its_box() -> None:
    for angle in range(0, 360, 7):
        turned = transform(ELL, angle, 1.3)
        assert turned[0].any() and turned[-1].any() and turned[:, 0].any() and turned[:, -1].any()


@pytest.mark.parametrize("height", [3, 4])
@pytest.mark.parametrize("width", [2, 3])
def test_no_turn_and_a_half_turn_keep_every_pixel(height: int, width: int) -> None:
    shape = ELL[-height:, :width]
    assert np.array_equal(transform(shape, 0, 1), shape)
    assert np.array_equal(transform(shape, 180, 1), shape[::-1, ::-1])


def test_a_turn_goes_counter_clockwise() -> None:
    bar = np.zeros((9, 9), np.uint8)
    bar[4, 4:] = 1  # points right
    bar[3:6, 4] = 1  # a mark at its root
    turned = transform(bar, 90, 1)
    assert turned.shape == (5, 3)
    assert turned[-1].all() and turned[0].tolist() == [0, 1, 0]


def test_an_outline_scaled_to_almost_nothing_is_no_larger_than_its_box() -> None:
    outline = np.ones((20, 20), np.uint8)
    outline[1:-1, 1:-1] = 0
    for scale in np.linspace(0.02, 0.3, 57):
        for angle in (0, 45):
            turned = transform(outline, angle, float(scale))
            assert turned.any()
            assert turned.sum() <= max(4, (29 * scale + 1) ** 2), scale


@pytest.mark.parametrize("pose", ["free", "fixed"])
def test_of_an_element_larger_than_the_view_a_part_that_holds_some_of_it_is_placed(pose: str) -> None:
    sparse = np.zeros((300, 200), np.uint8)
    sparse[5:9, 190:195] = sparse[290:295, 3:9] = 1
    config = MaskConfig.model_validate({"pose": pose, "max_parts": 1})
    for seed in range(30):
        mask = place(pool_of(sparse), 64, config, np.random.default_rng(seed)).mask
        assert 0 < mask.sum() < 150


def test_an_ablation_draws_no_element_of_an_expert() -> None:
    shapes = [np.ones((side, side), np.uint8) for side in (3, 5)]
    pool = MaskPool("hole", (Element("cut", shapes[0], 0, 0), Element("drawn", shapes[1], 0, 0, is_expert=True)))
    used = {
        kind: {
            placement.source
            for seed in range(20)
            for placement in place(
                pool, 64, MaskConfig.model_validate({"pool": kind}), np.random.default_rng(seed)
            ).placements
        }
        for kind in ("whole", "prior_only")
    }
    assert used == {"whole": {"cut", "drawn"}, "prior_only": {"cut"}}


def test_masks_for_training_have_as_many_parts_as_real_ones_and_at_most_as_many_as_allowed() -> None:
    dot = Element("dot", np.ones((1, 1), np.uint8), 0, 0)
    pool = MaskPool("hole", (dot,), part_counts=(1, 1, 1, 4))
    for most, shares in ((4, {1: 0.75, 4: 0.25}), (2, {1: 0.75, 2: 0.25})):
        config = MaskConfig(max_parts=most)
        counts = [
            len(place(pool, 64, config, np.random.default_rng(seed), like_real=True).placements) for seed in range(400)
        ]
        for count, share in shares.items():
            assert abs(counts.count(count) / len(counts) - share) < 0.08
        assert set(counts) == set(shares)


def test_a_pool_knows_how_many_parts_each_annotated_image_has() -> None:
    two, one = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    two[2:6, 2:6] = two[10:14, 10:14] = one[3:9, 3:9] = 1
    samples = [Sample(str(i), np.zeros((20, 20), np.uint8), {"hole": mask}) for i, mask in enumerate((two, one, one))]
    assert build_pool(samples, "hole").part_counts == (1, 1, 2)
