"""What a normal picture gets: windows and ground, rational placements, and the same plan everywhere."""

import multiprocessing
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.placing import planning
from anomaly_gan.masks.placing.parts import Part, PlacementError
from anomaly_gan.masks.placing.planning import MAX_CANDIDATES, MaskPlanner, PlannedMask
from anomaly_gan.masks.pool.pool import Element, MaskPool
from anomaly_gan.masks.pool.severity import Severity
from anomaly_gan.masks.rationality.context import describe_picture
from anomaly_gan.masks.rationality.habits import Habit, Habits
from anomaly_gan.masks.rationality.rationality import TERMS, Rationality, Term
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.support.builders import CLASS, normal_sample

Mask = NDArray[np.uint8]
SIZE = 64
WINDOW, WHOLE = ViewConfig(kind="window", size=SIZE), ViewConfig(kind="whole", size=SIZE)
NATIVE = (200, 300)
BLOCK = np.ones((9, 7), np.uint8)


def pool_of(*masks: Mask, **more: Any) -> MaskPool:
    elements = tuple(Element(f"picture-{i}", mask, 0, 0) for i, mask in enumerate(masks or (BLOCK,)))
    return MaskPool(CLASS, elements, **more)


def box(shape: tuple[int, int], left: int, top: int, width: int, height: int) -> Mask:
    mask = np.zeros(shape, np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def plans(
    pool: MaskPool, normal: Sample, count: int = 30, view: ViewConfig = WINDOW, **config: Any
) -> list[PlannedMask]:
    planner = MaskPlanner(pool, view, MaskConfig.model_validate(config))
    return [planner.plan(normal, np.random.default_rng(seed)) for seed in range(count)]


def in_picture(planned: PlannedMask, shape: tuple[int, int]) -> Mask:
    """The mask in its whole picture; the picture is larger than the window."""
    whole = np.zeros(shape, np.uint8)
    left, top, size = planned.view.meta["window"]
    whole[top : top + size, left : left + size] = planned.mask
    return whole


def window_of(planned: PlannedMask) -> tuple[int, ...]:
    return tuple(planned.view.meta["window"])


def test_a_plan_shows_a_window_of_the_picture_without_masks_and_with_its_meta() -> None:
    normal = normal_sample(1, NATIVE)
    for planned in plans(pool_of(region=box(NATIVE, 150, 80, 40, 50)), normal, 5):
        left, top, size = window_of(planned)
        assert np.array_equal(planned.view.image, normal.image[top : top + size, left : left + size])
        assert (planned.view.key, planned.view.meta["group"]) == (normal.key, "g1")
        assert planned.view.is_normal
        assert planned.rationality is None


def test_without_region_and_anchors_windows_lie_anywhere() -> None:
    windows = [window_of(planned) for planned in plans(pool_of(), normal_sample(0, NATIVE), 200)]
    lefts, tops = [left for left, _, _ in windows], [top for _, top, _ in windows]
    assert min(lefts) < 20 and max(lefts) > 300 - SIZE - 20
    assert min(tops) < 20 and max(tops) > 200 - SIZE - 20


def test_windows_lie_around_the_allowed_region_and_masks_within_it() -> None:
    region = box(NATIVE, 250, 10, 30, 25)
    found = plans(pool_of(region=region), normal_sample(0, NATIVE))
    assert all((in_picture(one, NATIVE) <= region).all() for one in found)
    assert len({window_of(one) for one in found}) > 20


def test_windows_lie_around_anchors_and_elements_stand_there() -> None:
    anchors = {"normal-000": ((20.0, 30.0, 10.0, 20.0), (270.5, 150.0, 9.0, 8.0))}
    centres = set()
    for planned in plans(pool_of(anchors=anchors), normal_sample(0, NATIVE), pose="fixed", max_parts=1):
        left, top, width, height = cv2.boundingRect(in_picture(planned, NATIVE))
        [near] = [
            (x, y)
            for x, y in ((25, 40), (275, 154))
            if abs(left + width / 2 - x) <= 1 and abs(top + height / 2 - y) <= 1
        ]
        centres.add(near)
        assert planned.mask.sum() == BLOCK.sum()
    assert len(centres) == 2


def test_anchors_mean_nothing_to_elements_of_free_pose() -> None:
    pool = pool_of(anchors={"normal-000": ((20.0, 30.0, 10.0, 20.0),)})
    assert len({window_of(planned) for planned in plans(pool, normal_sample(1, NATIVE))}) > 20


@pytest.mark.parametrize("pose", ["free", "fixed"])
def test_whole_frames_keep_region_and_anchors_too(pose: str) -> None:
    region = box((SIZE, SIZE), 5, 20, 30, 30)
    pool = pool_of(region=region, anchors={"normal-000": ((15.0, 30.0, 10.0, 10.0),)})
    for planned in plans(pool, normal_sample(0), view=WHOLE, pose=pose, max_parts=1):
        assert (planned.mask <= region).all()
        assert "window" not in planned.view.meta
        if pose == "fixed":
            assert planned.mask[35, 20] == 1 == planned.mask[31:40, 17:24].all()


def test_where_a_window_mirrors_a_small_picture_its_region_is_mirrored_too() -> None:
    region = box((40, 50), 0, 0, 50, 12)
    shown = cv2.copyMakeBorder(region, 0, SIZE - 40, 0, SIZE - 50, cv2.BORDER_REFLECT)
    found = plans(pool_of(region=region), normal_sample(0, (40, 50)), 60, pose="free", max_parts=1)
    assert all((one.mask <= shown).all() for one in found)
    assert any(one.mask[:, 50:].any() for one in found)


def test_where_a_window_mirrors_a_small_picture_its_anchors_are_mirrored_too() -> None:
    pool = pool_of(np.ones((5, 5), np.uint8), anchors={"normal-000": ((42.0, 3.0, 4.0, 4.0),)})
    found = plans(pool, normal_sample(0, (40, 50)), 40, pose="fixed", max_parts=1)
    boxes = {cv2.boundingRect(one.mask) for one in found}
    assert {(left + 2, top + 2) for left, top, _, _ in boxes} == {(44, 5), (55, 5)}  # 50 - 1 - 44 beyond the border


def test_other_windows_are_tried_where_one_has_no_room() -> None:
    region = box(NATIVE, 280, 180, 10, 12)
    region[:100:4, :150:4] = 1  # hundreds of pixels on which nothing fits
    found = plans(pool_of(region=region), normal_sample(0, NATIVE), 20, pose="fixed", max_parts=1)
    assert all(in_picture(one, NATIVE)[180:192, 280:290].sum() == BLOCK.sum() for one in found)


@pytest.mark.parametrize("view", [WINDOW, WHOLE], ids=["window", "whole"])
def test_a_picture_without_room_is_refused_by_picture_element_and_rule(view: ViewConfig) -> None:
    pool = pool_of(region=box((SIZE, SIZE), 30, 30, 6, 6))
    told = rf"^picture normal-000: mask pool: element {pool.elements[0].id} \(picture-0\) does not meet region in 5 tri"
    with pytest.raises(PlacementError, match=told):
        plans(pool, normal_sample(0), 1, view, pose="fixed", tries=5)


def test_a_picture_without_an_allowed_pixel_is_refused_by_its_name() -> None:
    pool = pool_of(regions={"normal-000": np.zeros((SIZE, SIZE), np.uint8)})
    with pytest.raises(PlacementError, match=r"^mask pool: picture normal-000 has no allowed pixel; draw a larger reg"):
        plans(pool, normal_sample(0), 1)


@pytest.mark.parametrize(("number", "columns"), [(0, slice(0, 150)), (1, slice(150, 300))])
def test_a_pictures_own_region_goes_before_that_of_the_data_set(number: int, columns: slice) -> None:
    own, common = box(NATIVE, 0, 0, 150, 200), box(NATIVE, 150, 0, 150, 200)
    pool = pool_of(region=common, regions={"normal-000": own})
    for planned in plans(pool, normal_sample(number, NATIVE)):
        whole = in_picture(planned, NATIVE)
        assert whole.any() and whole[:, columns].sum() == whole.sum()


@pytest.mark.parametrize("shape", [NATIVE, (80, 120)])
def test_one_region_is_stretched_over_pictures_of_all_sizes(shape: tuple[int, int]) -> None:
    for planned in plans(pool_of(region=np.array([[0, 1], [0, 0]], np.uint8)), normal_sample(0, shape)):
        whole = in_picture(planned, shape)
        assert whole[: shape[0] // 2, shape[1] // 2 :].sum() == whole.sum() > 0


NORMALS = [normal_sample(i) for i in range(3)]
ANCHORS = {"normal-001": ((9.0, 9.0, 5.0, 5.0),), "normal-002": ()}


@pytest.mark.parametrize(
    ("pose", "anchors", "fitting"),
    [("free", ANCHORS, [0, 1, 2]), ("fixed", {}, [0, 1, 2]), ("fixed", ANCHORS, [1])],
)
def test_elements_of_fixed_pose_go_to_pictures_with_anchors_where_any_has_some(
    pose: str, anchors: dict[str, Any], fitting: list[int]
) -> None:
    planner = MaskPlanner(pool_of(anchors=anchors), WHOLE, MaskConfig.model_validate({"pose": pose}))
    assert list(planner.fitting(NORMALS)) == [NORMALS[i] for i in fitting]


def test_pictures_of_which_none_has_an_anchor_are_refused() -> None:
    planner = MaskPlanner(pool_of(anchors={"other": ANCHORS["normal-001"]}), WHOLE, MaskConfig(pose="fixed"))
    with pytest.raises(DataError, match=r"^mask pool: none of 3 normal pictures has an anchor of class hole; add some"):
        planner.fitting(NORMALS)


def rightwards() -> Rationality:
    """A score that grows to the right of the picture."""
    terms = [Term(feature=name, mean=0, deviation=1, linear=2.0 if name == "x" else 0.0, square=0) for name in TERMS]
    return Rationality(
        class_name=CLASS,
        masks=9,
        groups=3,
        auc=0.9,
        placement_auc=0.9,
        knows_place=True,
        bias=0,
        terms=tuple(terms),
    )


LEARNT = pool_of(rationality=rightwards())
AT_THE_RIGHT = rightwards().model_copy(update={"habits": Habits(parts=(Habit(element="a", x=1, y=0.5, axis_deg=90),))})


def test_a_rational_mask_lies_anywhere_in_its_window_and_reaches_the_border_of_the_picture() -> None:
    found = plans(pool_of(rationality=AT_THE_RIGHT), normal_sample(0, NATIVE), 40, rationality=0.8, max_parts=1)
    whole = [in_picture(one, NATIVE) for one in found]
    assert all(mask.sum() == one.mask.sum() for mask, one in zip(whole, found, strict=True))
    assert sum(mask[:, -1].any() for mask in whole) > 20
    below = [cv2.boundingRect(one.mask)[1] for one in found]
    assert min(below) < 10 and max(below) > 40


@pytest.mark.parametrize("shape", [(SIZE, SIZE), (40, 50), (40, 200)])
def test_a_rational_mask_lies_in_the_picture_not_in_its_mirror_image(shape: tuple[int, int]) -> None:
    found = plans(pool_of(rationality=AT_THE_RIGHT), normal_sample(0, shape), rationality=0.7)
    for one in found:
        left, top, _ = window_of(one)
        assert not one.mask[shape[0] - top :].any() and not one.mask[:, shape[1] - left :].any()


@pytest.mark.parametrize("pose", ["free", "fixed"])
def test_rational_masks_keep_region_and_anchors(pose: str) -> None:
    region = box(NATIVE, 20, 30, 80, 60)
    pool = pool_of(region=region, anchors={"normal-000": ((40.0, 50.0, 9.0, 9.0),)}, rationality=AT_THE_RIGHT)
    for one in plans(pool, normal_sample(0, NATIVE), rationality=0.8, pose=pose):
        whole = in_picture(one, NATIVE)
        assert whole.any() and (whole <= region).all()
        if pose == "fixed":
            assert cv2.boundingRect(whole) == (41, 50, 7, 9)


def test_a_rational_placement_tells_where_it_lies_in_the_view() -> None:
    for one in plans(pool_of(rationality=AT_THE_RIGHT), normal_sample(0, NATIVE), 10, rationality=0.8, max_parts=1):
        [placement] = one.placements
        assert cv2.boundingRect(one.mask)[:2] == (placement.left, placement.top)


def test_a_rational_mask_without_room_is_refused_by_picture_element_and_rule() -> None:
    pool = pool_of(region=box(NATIVE, 30, 30, 6, 6), rationality=AT_THE_RIGHT)
    told = rf"^picture normal-000: mask pool: element {pool.elements[0].id} \(picture-0\) does not meet region in 5 tri"
    with pytest.raises(PlacementError, match=told):
        plans(pool, normal_sample(0, NATIVE), 1, rationality=0.5, pose="fixed", tries=5)


def test_rationality_is_refused_where_nothing_was_learnt() -> None:
    with pytest.raises(DataError, match=r"^mask pool: nothing was learnt of where class hole lies; build a pool with"):
        MaskPlanner(pool_of(), WHOLE, MaskConfig(rationality=0.1))


@pytest.mark.parametrize("view", [WINDOW, WHOLE], ids=["window", "whole"])
def test_the_recorded_rationality_is_the_score_of_the_mask_in_its_whole_picture(view: ViewConfig) -> None:
    normal = normal_sample(0, NATIVE if view is WINDOW else (SIZE, SIZE))
    context = describe_picture(normal.image)
    scores = set()
    for planned in plans(LEARNT, normal, 10, view, rationality=0.5, max_parts=1):
        left, top, _ = planned.view.meta.get("window", (0, 0, 0))
        wanted = rightwards().score(context, [Part(planned.mask, left, top)])
        assert planned.rationality == pytest.approx(wanted)
        scores.add(wanted)
    assert len(scores) > 7


def test_the_more_rational_the_plans_are_to_be_the_more_random_ones_they_beat() -> None:
    normal, shares, means = normal_sample(0), (0.3, 0.5, 0.8, 0.95), []
    scores = {share: ratings(normal, share, 150) for share in shares}
    at_random = sorted(ratings(normal, 1e-9, 1500))  # one candidate each
    for share in shares:
        beaten = np.mean(np.searchsorted(at_random, scores[share]) / len(at_random))
        assert share - 0.05 < beaten < 1
        means.append(float(np.mean(scores[share])))
    assert means == sorted(means) and means[0] > np.mean(at_random)


def ratings(normal: Sample, share: float, count: int) -> list[float]:
    return [one.rationality or 0 for one in plans(LEARNT, normal, count, WHOLE, rationality=share, max_parts=1)]


class Counted:
    """Counts the calls of a function of the planning module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.calls = 0
        self._function = getattr(planning, name)
        monkeypatch.setattr(planning, name, self)

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        return self._function(*args, **named)


@pytest.mark.parametrize(
    ("share", "candidates"), [(0, 1), (0.25, 1 / 0.75), (0.6, 2.5), (0.9, 10), (0.99, MAX_CANDIDATES), (1, 64)]
)
def test_a_mask_is_the_best_of_one_over_the_share_of_the_others(
    monkeypatch: pytest.MonkeyPatch, share: float, candidates: float
) -> None:
    placed, count = Counted(monkeypatch, "place"), 40 if share > 0.7 else 400
    plans(LEARNT, normal_sample(0), count, WHOLE, rationality=share, max_parts=1)
    assert placed.calls / count == pytest.approx(candidates, abs=1e-9 if candidates in (1, 10, 64) else 0.1)


def test_without_rationality_nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    described = Counted(monkeypatch, "describe_picture")
    assert {one.rationality for one in plans(LEARNT, normal_sample(0), 5)} == {None}
    assert described.calls == 0


def test_each_picture_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    described = Counted(monkeypatch, "describe_picture")
    planner = MaskPlanner(LEARNT, WHOLE, MaskConfig(rationality=0.01, max_parts=1))
    for _ in range(2):
        for number in range(70):
            planner.plan(normal_sample(number), np.random.default_rng(0))
    assert described.calls == 70


def full_plan() -> GenerationPlan:
    """All that is left to chance: window, region, parts, area, rationality and contrast."""
    severity = Severity(area_px=(20, 60, 120, 200), contrast=(5, 10, 20, 40))
    pool = replace(LEARNT, rationality=AT_THE_RIGHT, severity=severity, region=np.array([[0, 1], [1, 1]], np.uint8))
    masks = MaskConfig(area="medium", contrast="high", rationality=0.6, min_distance_px=3)
    normals = [normal_sample(i, (80, 96)) for i in range(4)]
    return GenerationPlan(normals, pool, WINDOW, masks, GenerationConfig(seed=7))


Planned = tuple[str, list[int], bytes, str, float | None, float | None]


def planned_by(indices: Sequence[int]) -> dict[int, Planned]:
    """What a worker plans that gets these indices, in this order."""
    plan = full_plan()
    told: dict[int, Planned] = {}
    for index in indices:
        one = plan.planned(index)
        mask = one.mask
        told[index] = (
            one.normal.key,
            mask.view.meta["window"],
            mask.mask.tobytes(),
            repr(mask.placements),
            mask.rationality,
            one.contrast,
        )
    return told


INDICES = range(24)


def test_a_plan_is_the_same_in_any_order_and_for_any_number_of_workers() -> None:
    wanted = planned_by(INDICES)
    assert len({mask for _, _, mask, *_ in wanted.values()}) == len(INDICES)
    shuffled = random.Random(1).sample(INDICES, len(INDICES))
    assert planned_by(shuffled) == wanted
    for workers in (2, 3):
        shared: dict[int, Planned] = {}
        for rank in range(workers):
            shared |= planned_by(INDICES[rank::workers])
        assert shared == wanted


def test_a_plan_is_the_same_in_another_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as other:
        assert other.apply(planned_by, [list(reversed(INDICES))]) == planned_by(INDICES)
