"""Masks that lie as real ones do: at the border that cut them off, in the directions and layouts of real pictures."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.masks.placing.parts import Ground, PlacedMask
from anomaly_gan.masks.placing.placement import place
from anomaly_gan.masks.placing.planning import MaskPlanner
from anomaly_gan.masks.pool.pool import MaskPool, build_pool
from anomaly_gan.samples.sample import Sample

Mask = NDArray[np.uint8]
PICTURE = (120, 160)
ALONE = MaskConfig(max_parts=1)


def boxes(*parts: tuple[int, int, int, int]) -> Mask:
    """A picture's mask with the boxes (top, left, height, width)."""
    mask = np.zeros(PICTURE, np.uint8)
    for top, left, height, width in parts:
        mask[top : top + height, left : left + width] = 1
    return mask


def pool_of(*masks: Mask) -> MaskPool:
    return build_pool([Sample(f"p{i}", np.zeros(PICTURE, np.uint8), {"x": mask}) for i, mask in enumerate(masks)], "x")


def placed(
    pool: MaskPool, config: MaskConfig = ALONE, ground: Ground | None = None, *, as_cut: bool = True, count: int = 30
) -> list[PlacedMask]:
    """In whole pictures."""
    ground = ground or Ground(picture=PICTURE)
    return [
        place(pool, max(PICTURE), config, np.random.default_rng(seed), ground=ground, like_real=as_cut, as_cut=as_cut)
        for seed in range(count)
    ]


def touched(mask: Mask) -> str:
    ends = {"T": mask[0], "B": mask[-1], "L": mask[:, 0], "R": mask[:, -1]}
    return "".join(name for name, line in ends.items() if line.any())


@pytest.mark.parametrize("as_cut", [True, False], ids=["training", "generation"])
@pytest.mark.parametrize(
    ("box", "borders"),
    [((0, 30, 20, 9), "T"), ((100, 30, 20, 9), "B"), ((30, 0, 9, 20), "L"), ((0, 140, 11, 20), "TR")],
)
def test_what_a_border_cut_off_lies_at_that_border_whole_and_elsewhere_along_it(
    box: tuple[int, int, int, int], borders: str, as_cut: bool
) -> None:
    pool = pool_of(boxes(box))
    assert pool.elements[0].borders == borders
    masks = [one.mask for one in placed(pool, as_cut=as_cut)]
    assert all(set(borders) <= set(touched(mask)) for mask in masks)
    assert {int(mask.sum()) for mask in masks} == {box[2] * box[3]}
    places = {cv2.boundingRect(mask)[:2] for mask in masks}
    assert len(places) == 1 if len(borders) == 2 else len(places) > 15


def test_a_region_or_anchors_come_before_borders() -> None:
    pool, allowed = pool_of(boxes((0, 30, 20, 9))), boxes((50, 20, 60, 80))
    for one in placed(pool, ground=Ground(allowed, picture=PICTURE)):
        assert (one.mask <= allowed).all()


def test_in_training_shapes_are_as_they_were_cut() -> None:
    """Neither scaled nor resampled; turned by quarters where the pool has both directions."""
    across, upright = boxes((40, 40, 6, 30)), boxes((40, 40, 30, 6))
    # of four or fewer it cannot be told that a direction is missing
    for masks, shapes in (([across] * 6, {(6, 30)}), ([across, upright] * 3, {(6, 30), (30, 6)})):
        pool = pool_of(*masks)
        assert pool.may_lie_across == (len(shapes) == 2)
        found = placed(pool)
        assert {part.mask.shape for one in found for part in one.parts} == shapes
        assert all(one.mask.sum() == 180 for one in found)
    assert {told.angle_deg for one in found for told in one.placements} == {0, 90}


def test_in_generation_elements_are_scaled_and_turned_to_the_directions_of_real_ones() -> None:
    line = np.zeros(PICTURE, np.uint8)
    cv2.line(line, (40, 80), (80, 40), 1, 5)  # 45 degrees
    pool = pool_of(boxes((40, 40, 6, 40)), line)
    found = [one.parts[0].mask for one in placed(pool, as_cut=False, count=60)]
    degrees = [Direction.of(mask).degrees for mask in found]
    assert all(min(abs(angle), abs(angle - 45)) < 6 for angle in degrees)
    assert min(map(abs, degrees)) < 6 and max(degrees) > 39
    assert np.ptp([mask.sum() for mask in found]) > 100


def test_limits_to_the_angle_come_before_the_directions_of_the_pool() -> None:
    config = MaskConfig(max_parts=1, angle_min=80, angle_max=100)
    for one in placed(pool_of(boxes((40, 40, 6, 40))), config, as_cut=False):
        assert 80 <= one.placements[0].angle_deg <= 100


def test_a_free_pose_turns_anyhow_and_forgets_borders() -> None:
    pool, config = pool_of(boxes((0, 30, 40, 6))), MaskConfig(pose="free", max_parts=1)
    found = placed(pool, config, as_cut=False, count=60)
    assert np.mean(["T" in touched(one.mask) for one in found]) < 0.2
    assert np.ptp([one.placements[0].angle_deg for one in found]) > 250


def test_in_training_parts_lie_together_as_in_a_real_picture() -> None:
    layout = boxes((40, 40, 10, 10), (47, 58, 5, 8))
    wanted = {np.rot90(layout[40:52, 40:66], quarters).tobytes() for quarters in (0, 1)}
    for one in placed(pool_of(layout), MaskConfig()):
        left, top, width, height = cv2.boundingRect(one.mask)
        assert one.mask[top : top + height, left : left + width].tobytes() in wanted


def test_layouts_join_the_elements_of_a_picture_and_leave_drawn_ones_alone() -> None:
    pool = pool_of(boxes((0, 40, 10, 10), (47, 58, 5, 8)), boxes((5, 5, 9, 9)))
    assert [(one.count, one.shape.borders, one.shape.mask.shape) for one in pool.layouts] == [
        (2, "T", (52, 26)),
        (1, "", (9, 9)),
    ]


def test_training_windows_cut_masks_as_they_cut_real_ones() -> None:
    """A window around a random pixel cuts a part off, which one around the whole mask never does."""
    picture, mask = np.zeros(PICTURE, np.uint8), boxes((40, 50, 40, 40))
    planner = MaskPlanner(pool_of(mask), ViewConfig(kind="window", size=64), ALONE)
    normal = Sample("n", picture)
    planned = [planner.plan(normal, np.random.default_rng(seed), like_real=True) for seed in range(60)]
    assert all(one.mask.any() for one in planned)
    is_cut = [one.mask.sum() < 1600 for one in planned]
    assert 0.4 < np.mean(is_cut) < 0.95
