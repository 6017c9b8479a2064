"""Masks filled with pieces of an exemplar: its values, its rims, and no copy of it."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.exemplars.assembling import LEAST_TURN_DEG, RING_PX, assemble, choose_exemplar, lay_texture
from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.exemplars.exemplar import Exemplar, cut_exemplars, signed_depth
from anomaly_gan.samples.sample import Sample

CLASS = "hole"
Mask = NDArray[np.uint8]
Planes = NDArray[np.float32]
GROUND = np.full((64, 64), 120, np.uint8)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def disc(radius: int, side: int = 64, at: tuple[int, int] | None = None) -> Mask:
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, at or (side // 2, side // 2), radius, 1, -1)
    return mask


def box(top: int, left: int, height: int, width: int, side: int = 64) -> Mask:
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def exemplar(mask: Mask, *, colour: bool = False, rim: bool = False, seed: int = 0) -> Exemplar:
    """A dark anomaly of rough texture on a flat ground; `rim`: bright where it is less than 2.5 px deep."""
    image = np.full((*mask.shape, 3), 120.0)
    inside = mask == 1
    image[inside] = rng_of(seed).normal([50, 60, 70], 12, (int(inside.sum()), 3))
    if rim:
        image[inside & (signed_depth(mask) < 2.5)] = 210
    picture = image.clip(0, 255).astype(np.uint8)
    [found] = cut_exemplars([Sample("p", picture if colour else picture[:, :, 0].copy(), {CLASS: mask})], CLASS, 128)
    return found


def thin(side: int = 64) -> Mask:
    """A crack of one pixel's width."""
    mask = np.zeros((side, side), np.uint8)
    cv2.polylines(mask, [np.array([[4, 6], [20, 14], [30, 40], [58, 57]], np.int32)], False, 1, 1)
    return mask


def dot() -> Mask:
    return box(31, 31, 1, 1)


MASKS = {
    "box": box(10, 20, 24, 30),
    "thin crack": thin(),
    "one pixel": dot(),
    "one pixel in a corner": box(0, 63, 1, 1),
    "two parts": box(4, 4, 12, 10) | disc(9, at=(45, 45)),
    "the whole view": np.ones((64, 64), np.uint8),
    "at three borders": box(0, 0, 64, 20),
    "not square": np.pad(np.ones((10, 40), np.uint8), 6),
}
SHAPES = {
    "disc": disc(12),
    "thin crack": thin(),
    "few pixels": box(30, 30, 2, 2),
    "at a border": box(0, 20, 15, 20),
    "at a corner": box(44, 44, 20, 20),
    "nearly its whole picture": box(0, 0, 64, 58),
}


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MASKS)
def test_the_whole_mask_is_filled_with_the_exemplars_own_values(name: str, shape: str, colour: bool) -> None:
    mask, one = MASKS[name], exemplar(SHAPES[shape], colour=colour)
    filled = assemble(mask, one, rng_of(1))
    assert filled.dtype == np.float32 and filled.shape == (*mask.shape, 3 if colour else 1)
    for plane, own in zip(np.moveaxis(filled, 2, 0), np.moveaxis(one.contrast, 2, 0), strict=True):
        assert plane.min() >= min(own.min(), 0) - 1e-3 and plane.max() <= max(own.max(), 0) + 1e-3
    if shape not in ("thin crack", "few pixels"):  # which fill a large mask with little but their surroundings
        least = 0.75 if name in ("thin crack", "the whole view") else 0.94
        assert (np.abs(filled).max(2)[mask == 1] > 0.01).mean() >= least
    far = signed_depth(mask) < -RING_PX
    assert (filled[far] == 0).all()


@pytest.mark.parametrize("name", ["box", "two parts", "at three borders"])
def test_the_mask_is_as_dark_and_as_rough_as_the_exemplar(name: str) -> None:
    one = exemplar(disc(14))
    core = cv2.erode(MASKS[name], np.ones((5, 5), np.uint8)) == 1
    filled = [assemble(MASKS[name], one, rng_of(seed))[:, :, 0][core] for seed in range(4)]
    own = one.contrast[:, :, 0][one.mask == 1]
    assert np.mean(filled) == pytest.approx(own.mean(), abs=0.03)
    # where pieces meet they are mixed, which is a little smoother
    assert 0.75 <= np.mean([each.std() for each in filled]) / own.std() <= 1.1


@pytest.mark.parametrize("name", ["box", "two parts"])
def test_rims_come_to_rims_and_the_middle_to_the_middle(name: str) -> None:
    """Without regard to depth three of ten pixels of the rim would be bright, as many as of the middle."""
    mask, one = MASKS[name], exemplar(disc(14), rim=True)
    filled, depth = np.array([assemble(mask, one, rng_of(seed))[:, :, 0] for seed in range(6)]), signed_depth(mask)
    is_rim, is_core = (mask == 1) & (depth <= 1.5), depth >= 5
    assert (filled[:, is_rim] > 0.4).mean() > 0.45
    assert (filled[:, is_core] > 0.4).mean() < 0.05


def test_the_border_of_the_view_is_no_rim() -> None:
    mask, one = box(0, 10, 30, 30), exemplar(disc(16), rim=True)
    filled = np.array([assemble(mask, one, rng_of(seed))[:, :, 0] for seed in range(6)])
    assert (filled[:, 0, 17:33] > 0.4).mean() < 0.1
    assert (filled[:, 29, 17:33] > 0.4).mean() > 0.5


def test_the_shade_around_an_anomaly_comes_along_as_far_as_the_ring() -> None:
    mask, image = disc(10), np.full((64, 64), 120, np.uint8)
    image[disc(12) == 1] = 80  # a shadow wider than the drawn outline
    image[mask == 1] = 40
    [one] = cut_exemplars([Sample("p", image, {CLASS: mask})], CLASS, 128)
    wanted = box(20, 20, 20, 26)
    filled = np.array([assemble(wanted, one, rng_of(seed))[:, :, 0] for seed in range(6)])
    depth = signed_depth(wanted)
    assert -0.55 < np.median(filled[:, (depth < 0) & (depth >= -2)]) < -0.17
    assert np.median(filled[:, depth > 2]) == pytest.approx(-2 / 3, abs=0.03)
    assert (filled[:, depth < -RING_PX] == 0).all()


def test_the_same_chance_gives_the_same_and_another_something_else() -> None:
    mask, one = MASKS["two parts"], exemplar(disc(12))
    first = assemble(mask, one, rng_of(3))
    assert np.array_equal(first, assemble(mask, one, rng_of(3)))
    assert np.abs(first - assemble(mask, one, rng_of(4)))[mask == 1].mean() > 0.025


def largest_copy(mask: Mask, one: Exemplar, filled: Planes) -> float:
    """The largest share of the mask that is the exemplar's pixels under one and the same shift."""
    own, best = one.contrast[:, :, 0], 0
    (height, width), (rows, columns) = own.shape, mask.shape
    wide = np.pad(filled, ((height, height), (width, width)), constant_values=np.nan)
    shown = np.pad(mask, ((height, height), (width, width)))
    for top in range(rows + height):
        for left in range(columns + width):
            place = np.s_[top : top + height, left : left + width]
            is_same = (np.abs(wide[place] - own) < 1e-3) & (shown[place] == 1) & (one.mask == 1)
            best = max(best, int(is_same.sum()))
    return best / int(mask.sum())


@pytest.mark.parametrize("name", ["box", "two parts"])
def test_it_is_no_copy_of_the_exemplar(name: str) -> None:
    one, mask = exemplar(disc(14)), MASKS[name]
    assert largest_copy(mask, one, assemble(mask, one, rng_of(0))[:, :, 0]) < 0.5


def test_it_is_seldom_a_copy_even_in_the_exemplars_own_mask() -> None:
    one = exemplar(box(20, 18, 24, 26))
    inside = one.mask == 1
    filled = [assemble(one.mask, one, rng_of(seed))[:, :, 0][inside] for seed in range(30)]
    like = [abs(np.corrcoef(each, one.contrast[:, :, 0][inside])[0, 1]) for each in filled]
    assert np.mean(np.array(like) > 0.5) <= 0.3


def test_what_an_anomaly_looks_like_does_not_depend_on_where_its_mask_lies() -> None:
    one, mask = exemplar(disc(12)), box(12, 15, 14, 17)
    moved = np.roll(mask, (9, 11), (0, 1))
    assert np.array_equal(assemble(mask, one, rng_of(0)), np.roll(assemble(moved, one, rng_of(0)), (-9, -11), (0, 1)))


def test_of_an_empty_mask_nothing_differs() -> None:
    assert not assemble(np.zeros((20, 30), np.uint8), exemplar(disc(8)), rng_of(0)).any()


# --- which one


def test_an_exemplar_is_the_likelier_the_nearer_in_size_and_every_one_comes_up() -> None:
    small, like, large = (exemplar(box(2, 2, side, side)) for side in (4, 16, 48))
    rng, mask = rng_of(0), box(5, 5, 15, 17)
    chosen = [choose_exemplar(mask, [small, like, large], rng).area_px for _ in range(300)]
    counts = {area: chosen.count(area) for area in (16, 256, 48 * 48)}
    assert counts[256] > 250 and min(counts.values()) >= 1


def test_an_exemplar_of_like_surroundings_is_preferred_and_every_one_comes_up() -> None:
    """Pits of dark rough steel go into dark rough steel."""
    there = exemplar(disc(10))
    rough = (there.image // 2 + rng_of(3).integers(0, 30, there.image.shape)).astype(np.uint8)
    polished, worn = there, Exemplar("worn", rough, there.mask)
    for image, wanted in ((GROUND, "p"), (np.resize(rough, GROUND.shape), "worn")):
        sources = [lay_texture(image, disc(10), [polished, worn], (seed,)).source for seed in range(100)]
        assert 75 < sources.count(wanted) < 100


def test_where_nothing_is_around_a_mask_no_exemplar_is_preferred() -> None:
    ones = [exemplar(disc(10)), Exemplar("worn", exemplar(disc(10)).image // 2, exemplar(disc(10)).mask)]
    found = {lay_texture(GROUND, MASKS["the whole view"], ones, (seed,)).source for seed in range(40)}
    assert found == {"p", "worn"}


def test_an_exemplar_is_shown_in_all_four_mirrorings() -> None:
    one, rng = exemplar(box(20, 20, 10, 14)), rng_of(0)
    assert len({choose_exemplar(one.mask, [one], rng).image.tobytes() for _ in range(40)}) == 4


def test_laid_texture_says_where_it_comes_from_and_is_decided_by_its_seed() -> None:
    mask, ones = MASKS["box"], [exemplar(disc(radius), seed=radius) for radius in (8, 10, 12)]
    laid = lay_texture(GROUND, mask, ones, (1, 2, 3))
    assert laid.source == "p" and laid.planes.shape == (1, 64, 64) and laid.planes.dtype == np.float32
    assert np.array_equal(laid.planes, lay_texture(GROUND, mask, ones, (1, 2, 3)).planes)
    assert not np.array_equal(laid.planes, lay_texture(GROUND, mask, ones, (1, 2, 4)).planes)
    none = lay_texture(GROUND, mask, [], (1, 2, 3))
    assert none.source is None and none.planes.shape == (1, 64, 64) and not none.planes.any()


def test_grey_and_colour_exemplars_give_every_mask_three_planes() -> None:
    ones = [exemplar(disc(10)), exemplar(disc(10), colour=True)]
    laid = [lay_texture(GROUND, MASKS["box"], ones, (seed,)).planes for seed in range(12)]
    assert {planes.shape for planes in laid} == {(3, 64, 64)}
    assert {bool((planes[0] == planes[2]).all()) for planes in laid} == {False, True}


def test_every_part_of_a_mask_has_an_exemplar_of_its_own_and_leaves_the_other_parts_alone() -> None:
    mask = box(4, 4, 5, 5) | box(4, 11, 30, 30)  # two columns lie between them
    dark, pale = exemplar(box(20, 20, 5, 5)), exemplar(box(10, 10, 30, 30))
    pale = Exemplar(pale.source, 240 - pale.image, pale.mask)  # as much brighter than its ground as it was darker
    planes = lay_texture(GROUND, mask, [dark, pale], (0,)).planes[0]
    assert np.median(planes[4:9, 4:9]) < -0.3 and np.median(planes[4:34, 11:41]) > 0.3
    assert (planes[4:9, 6:9] <= 0).mean() > 0.9
    assert not lay_texture(GROUND, np.zeros((64, 64), np.uint8), [dark, pale], (0,)).planes.any()


def test_more_parts_than_get_an_exemplar_each_are_filled_all_the_same() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[2::8, 2::8] = mask[3::8, 2::8] = mask[2::8, 3::8] = mask[3::8, 3::8] = 1  # 64 parts
    planes = lay_texture(GROUND, mask, [exemplar(box(30, 30, 2, 2)), exemplar(disc(6))], (0,)).planes[0]
    assert (planes[mask == 1] < -0.17).mean() > 0.5


# --- direction


def line(degrees: float, width: int = 5, side: int = 64) -> Mask:
    mask, half = np.zeros((side, side), np.uint8), 20
    across, down = half * np.cos(np.deg2rad(degrees)), -half * np.sin(np.deg2rad(degrees))
    ends = [(round(side / 2 + sign * across), round(side / 2 + sign * down)) for sign in (-1, 1)]
    cv2.line(mask, ends[0], ends[1], 1, width)
    return mask


@pytest.mark.parametrize("degrees", [-60, -20, 0, 45, 90])
def test_a_long_exemplar_is_turned_to_the_direction_of_a_long_mask(degrees: float) -> None:
    for seed in range(4):
        chosen = choose_exemplar(line(degrees), [exemplar(line(10))], rng_of(seed))
        apart = (Direction.of(chosen.mask).degrees - degrees + 90) % 180 - 90
        assert abs(apart) <= LEAST_TURN_DEG + 2


def test_a_turned_exemplar_keeps_its_area_and_its_contrast() -> None:
    one = exemplar(line(10))
    turned = one.turned(35)
    assert turned.area_px == pytest.approx(one.area_px, rel=0.1)
    assert turned.contrast[turned.mask == 1].mean() == pytest.approx(one.contrast[one.mask == 1].mean(), rel=0.15)
    assert turned.contrast[turned.mask == 1].std() > 0.7 * one.contrast[one.mask == 1].std()
    assert exemplar(thin()).turned(25).mask.any()


def test_a_round_exemplar_or_mask_turns_nothing() -> None:
    long, round_one = exemplar(line(10)), exemplar(disc(12))
    for mask, one in ((disc(12), long), (line(60), round_one)):
        chosen = choose_exemplar(mask, [one], rng_of(0))
        assert sorted(chosen.image.ravel()) == sorted(one.image.ravel())


def test_a_long_exemplar_is_the_likelier_for_a_long_mask() -> None:
    long, round_one, rng = exemplar(line(10)), exemplar(disc(8)), rng_of(0)
    chosen = [choose_exemplar(line(10), [long, round_one], rng).direction.elongation > 2 for _ in range(60)]
    assert np.mean(chosen) > 0.75
