"""Masks placed from the pool: every rule kept, or refused by its name."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.placing.parts import Ground, Part, PlacedMask, PlacementError
from anomaly_gan.masks.placing.placement import place
from anomaly_gan.masks.pool.pool import Element, MaskPool
from anomaly_gan.masks.pool.severity import Severity
from infra.errors import DataError

Mask = NDArray[np.uint8]
Config = dict[str, Any]

ELL = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], np.uint8)
SIZE = 64


def pool_of(*masks: Mask, areas: tuple[float, float, float, float] | None = None) -> MaskPool:
    severity = None if areas is None else Severity(area_px=areas, contrast=(0, 1, 2, 3))
    elements = tuple(Element(f"picture-{i}", mask, 0, 0) for i, mask in enumerate(masks))
    return MaskPool("hole", elements, severity=severity)


def square(side: int) -> Mask:
    return np.ones((side, side), np.uint8)


def config_of(**values: Any) -> MaskConfig:
    return MaskConfig.model_validate(values)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def parts_of(mask: Mask) -> int:
    """Number of 8-connected parts."""
    return cv2.connectedComponents(mask, connectivity=8)[0] - 1


def seen(part: Part, size: int = SIZE) -> Mask:
    """[size, size]: what of a part lies in the view."""
    reach = size + max(part.mask.shape)
    wide = np.zeros((size + 2 * reach, size + 2 * reach), np.uint8)
    height, width = part.mask.shape
    wide[part.top + reach : part.top + reach + height, part.left + reach : part.left + reach + width] = part.mask
    return wide[reach : reach + size, reach : reach + size].copy()


def distance(one: Mask, other: Mask) -> float:
    """Least Euclidean distance between their pixels, in px."""
    return float(cv2.distanceTransform(1 - one, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[other == 1].min())


def check_rules(placed: PlacedMask, pool: MaskPool, config: MaskConfig, allowed: Mask | None = None) -> None:
    """Every rule of a mask in a view of SIZE px."""
    mask = placed.mask
    assert mask.shape == (SIZE, SIZE) and mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1} and mask.any()
    assert config.min_parts <= len(placed.parts) == len(placed.placements) <= config.max_parts
    within = [seen(part) for part in placed.parts]
    assert np.array_equal(mask, np.maximum.reduce(within))
    if allowed is not None:
        assert not (mask > allowed).any()
    elements = {element.id: element for element in pool.elements}
    for part, visible, told in zip(placed.parts, within, placed.placements, strict=True):
        assert visible.sum() >= config.keep_inside * part.mask.sum() - 1e-9
        assert (part.left, part.top) == (told.left, told.top)
        assert elements[told.element].source == told.source
        if config.pose == "fixed":
            assert (told.angle_deg, told.scale) == (0, 1)
            assert np.array_equal(part.mask, elements[told.element].mask)
        else:
            assert config.scale_min <= told.scale <= config.scale_max
            is_limited = config.pose == "free" or config.angle_max - config.angle_min < 360
            least, most = (config.angle_min, config.angle_max) if is_limited else (-90, 90)
            assert least <= told.angle_deg <= most
    for one, other in combinations(within, 2):
        if config.min_distance_px:
            assert distance(one, other) >= config.min_distance_px - 1e-4
    if config.min_distance_px >= 2:
        assert parts_of(mask) == sum(map(parts_of, within))


shapes = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 1), fill=st.just(1)
).filter(lambda shape: bool(shape.any()))
pools = st.lists(shapes, min_size=1, max_size=3).map(lambda masks: pool_of(*masks))


@st.composite
def configs(draw: st.DrawFn) -> MaskConfig:
    parts = sorted(draw(st.tuples(st.integers(1, 4), st.integers(1, 4))))
    angles = sorted(draw(st.tuples(st.integers(-360, 360), st.integers(-360, 360))))
    return config_of(
        pose=draw(st.sampled_from(["natural", "free", "fixed"])),
        min_parts=parts[0],
        max_parts=parts[1],
        scale_min=draw(st.floats(0.1, 1)),
        scale_max=draw(st.floats(1, 1.5)),
        angle_min=angles[0],
        angle_max=angles[1],
        min_distance_px=draw(st.integers(0, 6)),
        keep_inside=draw(st.sampled_from([0.05, 0.3, 0.7, 1.0])),
        tries=20,
    )


@st.composite
def regions(draw: st.DrawFn) -> Mask | None:
    """None, or a box, or all but a box."""
    kind = draw(st.sampled_from(["none", "box", "frame"]))
    if kind == "none":
        return None
    top, left = draw(st.tuples(st.integers(0, 24), st.integers(0, 24)))
    box = np.zeros((SIZE, SIZE), np.uint8)
    box[top : top + draw(st.integers(30, 40)), left : left + draw(st.integers(30, 40))] = 1
    return box if kind == "box" else 1 - box


def outcome(pool: MaskPool, config: MaskConfig, ground: Ground, seed: int) -> PlacedMask | str:
    """A mask, or why there is none."""
    try:
        return place(pool, SIZE, config, rng_of(seed), ground=ground)
    except PlacementError as err:
        return str(err)


@settings(max_examples=300, deadline=None)
@given(pools, configs(), regions(), st.integers(0, 99))
def test_a_mask_keeps_every_rule_or_is_refused_and_its_seed_decides_it(
    pool: MaskPool, config: MaskConfig, allowed: Mask | None, seed: int
) -> None:
    first, second = (outcome(pool, config, Ground(allowed), seed) for _ in range(2))
    if isinstance(first, str):
        assert any(f"element {element.id} ({element.source}) does not meet" in first for element in pool.elements)
        assert second == first
        return
    assert not isinstance(second, str)
    check_rules(first, pool, config, allowed)
    assert np.array_equal(first.mask, second.mask) and first.placements == second.placements


@pytest.mark.parametrize("distance_px", [1, 2, 5])
@pytest.mark.parametrize("keep_inside", [0.5, 1])
def test_what_has_room_is_placed(distance_px: int, keep_inside: float) -> None:
    allowed = np.zeros((SIZE, SIZE), np.uint8)
    allowed[:, :30] = allowed[40:, :] = 1
    config = config_of(min_parts=3, max_parts=3, min_distance_px=distance_px, keep_inside=keep_inside)
    pool = pool_of(ELL, square(5), np.ones((2, 14), np.uint8))
    for seed in range(60):
        check_rules(place(pool, SIZE, config, rng_of(seed), ground=Ground(allowed)), pool, config, allowed)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200), st.booleans()), min_size=1, max_size=3),
    st.sampled_from([64, 100, 128]),
    st.sampled_from(["natural", "free", "fixed"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_without_rules_of_the_users_no_placement_is_refused(
    sides: list[tuple[int, int, bool]], size: int, pose: str, like_real: bool, everywhere: bool, seed: int
) -> None:
    """But for a fixed pose elements larger than the view too; a region that allows all changes nothing."""
    masks = []
    most = 64 if pose == "fixed" else 200
    for height, width, hollow in sides:
        mask = np.ones((min(height, most), min(width, most)), np.uint8)
        if hollow:
            mask[1:-1, 1:-1] = 0
        masks.append(mask)
    ground = Ground(np.ones((size, size), np.uint8) if everywhere else None)
    pool = replace(pool_of(*masks), part_counts=(1, 2, 7))
    placed = place(pool, size, config_of(pose=pose), rng_of(seed), ground=ground, like_real=like_real)
    assert placed.mask.shape == (size, size) and placed.mask.any()
    assert all(seen(part, size).sum() == part.mask.sum() for part in placed.parts)


def test_seeds_give_differing_masks_from_all_elements_and_all_numbers_of_parts() -> None:
    pool = pool_of(ELL, square(5))
    drawn = [place(pool, 64, MaskConfig(max_parts=3), rng_of(seed)) for seed in range(60)]
    assert len({one.mask.tobytes() for one in drawn}) == 60
    assert {len(one.placements) for one in drawn} == {1, 2, 3}
    assert {part.source for one in drawn for part in one.placements} == {"picture-0", "picture-1"}


@pytest.mark.parametrize("everywhere", [False, True])
def test_elements_reach_every_border_of_the_view(everywhere: bool) -> None:
    ground = Ground(np.ones((16, 16), np.uint8) if everywhere else None)
    config = MaskConfig(pose="fixed", max_parts=1)
    masks = [place(pool_of(ELL), 16, config, rng_of(seed), ground=ground).mask for seed in range(200)]
    reached = np.maximum.reduce(masks)
    assert all(edge.any() for edge in (reached[0], reached[-1], reached[:, 0], reached[:, -1]))


@pytest.mark.parametrize("everywhere", [False, True])
def test_elements_hang_over_every_border_as_far_as_allowed(everywhere: bool) -> None:
    ground = Ground(np.ones((16, 16), np.uint8) if everywhere else None)
    config = config_of(pose="fixed", max_parts=1, keep_inside=0.4)
    placed = [place(pool_of(square(5)), 16, config, rng_of(seed), ground=ground) for seed in range(400)]
    assert {part.left for one in placed for part in one.parts} == set(range(-3, 15))
    assert {part.top for one in placed for part in one.parts} == set(range(-3, 15))
    assert min(one.mask.sum() for one in placed) == 10


def test_parts_may_overlap_where_no_distance_is_asked_for() -> None:
    config = config_of(pose="fixed", min_parts=2, max_parts=2)
    masks = [place(pool_of(square(40)), SIZE, config, rng_of(seed)).mask for seed in range(10)]
    assert all(1600 <= mask.sum() < 3200 for mask in masks)


def test_parts_a_pixel_apart_touch_but_do_not_overlap() -> None:
    config = config_of(pose="fixed", min_parts=2, max_parts=2, min_distance_px=1)
    masks = [place(pool_of(square(10)), 22, config, rng_of(seed)).mask for seed in range(60)]
    assert {int(mask.sum()) for mask in masks} == {200}
    assert {parts_of(mask) for mask in masks} == {1, 2}


def test_where_the_first_part_leaves_no_room_they_are_arranged_anew() -> None:
    """In the middle of the view the first one leaves no room, at its border it does."""
    config = config_of(pose="fixed", min_parts=2, max_parts=2, min_distance_px=5)
    pool = pool_of(square(25))
    for seed in range(30):
        check_rules(place(pool, SIZE, config, rng_of(seed)), pool, config)


def test_a_part_that_hangs_over_the_border_keeps_its_distance_too() -> None:
    pool, config = pool_of(square(9)), config_of(min_parts=3, max_parts=3, keep_inside=0.2, min_distance_px=4)
    for seed in range(60):
        check_rules(place(pool, SIZE, config, rng_of(seed)), pool, config)


def test_a_fixed_pose_keeps_the_shape_exactly_and_tells_where_it_is() -> None:
    config = MaskConfig(pose="fixed", max_parts=1)
    for seed in range(20):
        placed = place(pool_of(ELL), 64, config, rng_of(seed))
        mask, [placement] = placed.mask, placed.placements
        assert mask.sum() == ELL.sum()
        part = mask[placement.top : placement.top + 4, placement.left : placement.left + 3]
        assert np.array_equal(part, ELL)
        assert (placement.angle_deg, placement.scale) == (0, 1)


def test_a_free_pose_tells_angle_and_scale_within_the_configured_range() -> None:
    config = MaskConfig(pose="free", max_parts=1, scale_min=0.8, scale_max=1.1)
    told = [place(pool_of(ELL), 64, config, rng_of(seed)).placements[0] for seed in range(60)]
    assert all(0.8 <= one.scale <= 1.1 and 0 <= one.angle_deg < 360 for one in told)
    assert min(one.angle_deg for one in told) < 60 and max(one.angle_deg for one in told) > 300


def test_a_narrow_range_of_angles_is_kept_on_the_mask() -> None:
    config = config_of(max_parts=1, angle_min=80, angle_max=100, scale_min=1, scale_max=1)
    for seed in range(20):
        [part] = place(pool_of(np.ones((2, 30), np.uint8)), 64, config, rng_of(seed)).parts
        height, width = part.mask.shape
        assert height > 25 and width < 10


def test_of_an_element_larger_than_the_view_a_part_that_holds_some_of_it_is_placed_and_told() -> None:
    sparse = np.zeros((290, 192), np.uint8)
    sparse[:4, 187:] = sparse[285:, :6] = 1
    config = config_of(max_parts=1, scale_min=1, scale_max=1, angle_max=0)
    for seed in range(30):
        placed = place(pool_of(sparse), 64, config, rng_of(seed))
        assert 0 < placed.mask.sum() < 150
        [part], [told] = placed.parts, placed.placements
        assert told.cut is not None
        left, top, width, height = told.cut
        assert np.array_equal(part.mask, sparse[top : top + height, left : left + width])


def test_of_an_element_that_fits_the_view_no_cut_is_told() -> None:
    assert place(pool_of(ELL), 64, MaskConfig(max_parts=1), rng_of(0)).placements[0].cut is None


def test_an_ablation_draws_no_element_of_an_expert() -> None:
    pool = MaskPool("hole", (Element("cut", square(3), 0, 0), Element("drawn", square(5), 0, 0, is_expert=True)))
    used = {
        kind: {
            placement.source
            for seed in range(20)
            for placement in place(pool, 64, config_of(pool=kind), rng_of(seed)).placements
        }
        for kind in ("whole", "prior_only")
    }
    assert used == {"whole": {"cut", "drawn"}, "prior_only": {"cut"}}


@pytest.mark.parametrize("elements", [(), (Element("drawn", ELL, 0, 0, is_expert=True),)])
def test_a_pool_without_an_element_to_draw_is_refused(elements: tuple[Element, ...]) -> None:
    with pytest.raises(DataError, match=r"^mask pool: has no element of class hole for masks.pool prior_only; add"):
        place(MaskPool("hole", elements), 64, config_of(pool="prior_only"), rng_of(0))


def test_masks_for_training_have_as_many_parts_as_real_ones_within_what_is_allowed() -> None:
    dot = Element("dot", square(1), 0, 0)
    pool = MaskPool("hole", (dot,), part_counts=(1, 1, 1, 4))
    for least, most, shares in ((1, 4, {1: 0.75, 4: 0.25}), (1, 2, {1: 0.75, 2: 0.25}), (2, 3, {2: 0.75, 3: 0.25})):
        config = MaskConfig(min_parts=least, max_parts=most)
        counts = [len(place(pool, 64, config, rng_of(seed), like_real=True).placements) for seed in range(400)]
        for count, share in shares.items():
            assert abs(counts.count(count) / len(counts) - share) < 0.08
        assert set(counts) == set(shares)


def test_a_fixed_pose_stands_with_its_centre_at_anchors_and_nowhere_else() -> None:
    anchors = [(20, 10), (41, 33), (12, 50)]
    pool, config = pool_of(ELL, square(7)), config_of(pose="fixed", max_parts=1)
    centres = set()
    for seed in range(40):
        placed = place(pool, SIZE, config, rng_of(seed), ground=Ground(anchors=anchors))
        check_rules(placed, pool, config)
        left, top, width, height = cv2.boundingRect(placed.mask)
        [near] = [(x, y) for x, y in anchors if abs(left + width / 2 - x) <= 1 and abs(top + height / 2 - y) <= 1]
        centres.add(near)
    assert centres == set(anchors)


@pytest.mark.parametrize("like_real", [False, True])
def test_no_two_parts_stand_on_one_anchor_and_there_are_no_more_parts_than_anchors(like_real: bool) -> None:
    anchors = [(12, 12), (40, 12), (20, 45)]
    pool, config = replace(pool_of(square(5)), part_counts=(5,)), config_of(pose="fixed", min_parts=2, max_parts=5)
    counts = set()
    for seed in range(40):
        placed = place(pool, SIZE, config, rng_of(seed), ground=Ground(anchors=anchors), like_real=like_real)
        counts.add(len(placed.parts))
        assert placed.mask.sum() == 25 * len(placed.parts)
        assert len({(part.left, part.top) for part in placed.parts}) == len(placed.parts)
    assert counts == ({3} if like_real else {2, 3})


def test_where_further_parts_have_no_room_at_their_anchors_the_least_number_is_enough() -> None:
    config = config_of(pose="fixed", min_parts=1, max_parts=2, min_distance_px=9, tries=5)
    ground = Ground(anchors=[(30, 30), (33, 30)])
    assert {len(place(pool_of(square(5)), SIZE, config, rng_of(seed), ground=ground).parts) for seed in range(9)} == {1}


def test_an_area_that_is_not_met_is_told_of_an_element_that_was_tried() -> None:
    pool = pool_of(square(20), square(5), areas=(10, 50, 50, 60))  # the first is never drawn: it is too large
    config = config_of(pose="fixed", min_parts=2, max_parts=2, area="medium", tries=4)
    with pytest.raises(PlacementError) as raised:
        place(pool, SIZE, config, rng_of(0), ground=Ground(anchors=[(30, 30), (32, 30)]))
    assert f"element {pool.elements[1].id} (picture-1) does not meet area medium in 4 tries" in str(raised.value)


PICTURE = (150, 240)


def test_in_a_whole_picture_all_parts_lie_in_one_view_anywhere() -> None:
    pool, config = pool_of(ELL, square(9), np.ones((2, 60), np.uint8)), config_of(min_parts=2, max_parts=4)
    centres = []
    for seed in range(150):
        mask = place(pool, SIZE, config, rng_of(seed), ground=Ground(picture=PICTURE)).mask
        assert mask.shape == PICTURE
        left, top, width, height = cv2.boundingRect(mask)
        assert max(width, height) <= SIZE
        centres.append((left, top))
    lefts, tops = zip(*centres, strict=True)
    assert min(lefts) < 20 and max(lefts) > 150 and min(tops) < 10 and max(tops) > 80


@pytest.mark.parametrize("keep_inside", [0.4, 1])
def test_in_a_whole_picture_the_region_holds_for_all_parts(keep_inside: float) -> None:
    allowed = np.zeros(PICTURE, np.uint8)
    allowed[:, 180:] = allowed[:30] = 1
    config = config_of(min_parts=2, max_parts=3, keep_inside=keep_inside, min_distance_px=4)
    for seed in range(60):
        placed = place(pool_of(ELL, square(9)), SIZE, config, rng_of(seed), ground=Ground(allowed, picture=PICTURE))
        assert placed.mask.any() and (placed.mask <= allowed).all()
        assert max(cv2.boundingRect(placed.mask)[2:]) <= SIZE


def test_in_a_whole_picture_anchors_too_far_apart_hold_one_part_each() -> None:
    ground = Ground(anchors=[(20, 20), (220, 120)], picture=PICTURE)
    config = config_of(pose="fixed", max_parts=2, tries=5)
    assert {len(place(pool_of(ELL), SIZE, config, rng_of(seed), ground=ground).parts) for seed in range(9)} == {1}
    with pytest.raises(PlacementError, match=r"does not meet view 64 in 5 tries: it lies too far from the other parts"):
        place(pool_of(ELL), SIZE, config_of(pose="fixed", min_parts=2, tries=5), rng_of(0), ground=ground)


def test_anchors_and_region_hold_together() -> None:
    allowed = np.zeros((SIZE, SIZE), np.uint8)
    allowed[:, :32] = 1
    ground = Ground(allowed, [(10, 10), (50, 10)])
    config = config_of(pose="fixed", max_parts=1)
    for seed in range(20):
        [part] = place(pool_of(ELL), SIZE, config, rng_of(seed), ground=ground).parts
        assert (part.left, part.top) == (9, 8)


FULL, NONE = np.ones((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.uint8)
SPOT = NONE.copy()
SPOT[30:33, 30:33] = 1


@pytest.mark.parametrize(
    ("rule", "advice", "side", "config", "ground"),
    [
        ("region", "it does not fit into the allowed region; draw a larger one", 5, {}, Ground(SPOT)),
        ("region", "no pixel of the view is allowed; draw a larger region", 5, {}, Ground(NONE)),
        ("region", "it does not fit into the allowed region", 5, {}, Ground(1 - SPOT, [(31, 31)])),
        ("anchors", "the view holds none; use pictures that have some", 5, {}, Ground(anchors=[])),
        ("keep_inside 1", "it hangs over the border; allow a lower share", 5, {}, Ground(anchors=[(0, 30)])),
        (
            "min_distance_px 30",
            "there is no room beside the other parts; allow a smaller distance or fewer parts",
            40,
            {"min_parts": 2, "max_parts": 2, "min_distance_px": 30},
            Ground(),
        ),
        (
            "area medium",
            "every mask has another area; allow more scales or fewer parts",
            5,  # two of them overlap and never cover 50 px
            {"min_parts": 2, "max_parts": 2, "area": "medium"},
            Ground(anchors=[(30, 30), (32, 30)]),
        ),
        (
            "min_parts 3",
            "the view holds 2 anchors; allow fewer parts, or add anchors",
            5,
            {"min_parts": 3, "max_parts": 4},
            Ground(anchors=[(20, 20), (40, 40)]),
        ),
        ("pose fixed", "it has 65 x 65 px, the view 64 x 64; see it through larger windows", 65, {}, Ground()),
        ("pose fixed", "it has 40 x 40 px, the view 64 x 30", 40, {}, Ground(picture=(30, 90))),
    ],
)
@pytest.mark.parametrize("tries", [1, 9])
def test_a_rule_that_no_try_meets_is_told_with_element_source_and_tries(
    rule: str, advice: str, side: int, config: Config, ground: Ground, tries: int
) -> None:
    pool = pool_of(square(side), areas=(10, 50, 50, 60))
    with pytest.raises(PlacementError) as raised:
        place(pool, SIZE, config_of(pose="fixed", tries=tries, **config), rng_of(0), ground=ground)
    told = f"mask pool: element {pool.elements[0].id} (picture-0) does not meet {rule} in {tries} tries: {advice}"
    assert str(raised.value).startswith(told)


def test_more_tries_find_a_narrow_place() -> None:
    pool = pool_of(square(3))
    config = {"pose": "fixed", "max_parts": 1}
    with pytest.raises(PlacementError, match="region in 1 tries"):
        place(pool, SIZE, config_of(tries=1, **config), rng_of(1), ground=Ground(SPOT))
    assert np.array_equal(place(pool, SIZE, config_of(**config), rng_of(0), ground=Ground(SPOT)).mask, SPOT)


def areas_of(pool: MaskPool, config: MaskConfig, seeds: Sequence[int] = range(40)) -> list[int]:
    return [int(place(pool, SIZE, config, rng_of(seed)).mask.sum()) for seed in seeds]


@pytest.mark.parametrize(("which", "least", "most"), [("low", 40, 90), ("medium", 90, 160), ("high", 160, 400)])
@pytest.mark.parametrize("more", [{}, {"min_parts": 3, "max_parts": 3}, {"keep_inside": 0.6}], ids=str)
def test_a_mask_has_the_area_of_the_third_that_is_asked_for(which: str, least: int, most: int, more: Config) -> None:
    pool = pool_of(square(4), square(8), np.ones((6, 20), np.uint8), areas=(40, 90, 160, 400))
    config = config_of(area=which, scale_min=0.5, scale_max=2, **more)
    areas = areas_of(pool, config)
    assert least <= min(areas) and max(areas) <= most
    assert max(areas) - min(areas) > 0.4 * (most - least)
    for seed in range(20):
        check_rules(place(pool, SIZE, config, rng_of(seed)), pool, config)


def test_of_fixed_elements_those_of_the_asked_area_are_taken() -> None:
    pool = pool_of(square(4), square(8), square(11), areas=(16, 30, 80, 121))
    for which, area in (("low", 16), ("medium", 64), ("high", 121)):
        assert set(areas_of(pool, config_of(pose="fixed", max_parts=1, area=which))) == {area}


def test_an_area_at_the_very_end_of_the_scales_is_met() -> None:
    """The square root of a limit may come out a hair beyond the scale that the limit was made of."""
    area = ELL.sum()
    for scale in np.arange(1.01, 3, 0.01).round(2).tolist():
        edges = (area * scale**2, *(area * 50.0,) * 3)
        config = config_of(max_parts=1, area="low", scale_max=scale, tries=1)
        try:
            [placement] = place(pool_of(ELL, areas=edges), SIZE, config, rng_of(0)).placements
        except PlacementError:  # the nearest whole number of pixels is too low
            continue
        assert placement.scale == scale


@pytest.mark.parametrize("pose", ["natural", "free", "fixed"])
@pytest.mark.parametrize("which", ["low", "high"])
def test_an_area_that_no_element_can_have_is_refused(pose: str, which: str) -> None:
    pool = pool_of(square(10), areas=(4, 20, 600, 900))
    limits = {"low": "4 to 20", "high": "600 to 900"}[which]
    told = rf"^mask pool: no element can have {limits} px, as masks.area {which} of 1 parts asks for; allow more scales"
    with pytest.raises(DataError, match=told):
        place(pool, SIZE, config_of(pose=pose, max_parts=1, area=which), rng_of(0))


def test_an_area_needs_a_pool_that_knows_the_real_ones() -> None:
    with pytest.raises(DataError, match=r"^mask pool: knows no real areas of class hole; leave masks.area at any"):
        place(pool_of(ELL), SIZE, config_of(area="low"), rng_of(0))


@pytest.mark.parametrize(("left", "top"), [(-2, -3), (6, 5), (-3, 2), (8, 1), (-9, -9), (8, 8)])
def test_a_part_knows_what_lies_below_it(left: int, top: int) -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    part = Part(ELL, left, top)
    below, inside = part.over(picture)
    assert below.shape == inside.shape
    assert sorted(below[inside == 1].tolist()) == picture[seen(part, 8) == 1].tolist()


@pytest.mark.parametrize("distance_px", [1, 2, 3, 7])
def test_a_grown_part_holds_the_pixels_nearer_than_the_distance(distance_px: int) -> None:
    part = Part(ELL, 20, 25)
    away = cv2.distanceTransform(1 - seen(part), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert np.array_equal(seen(part.grown(distance_px)), (away < distance_px - 1e-4).astype(np.uint8))
