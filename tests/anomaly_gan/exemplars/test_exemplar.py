"""Real anomalies as they are cut from pictures, and how they differ from what is around them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.exemplars.exemplar import LEAST_PX, MARGIN_PX, MOST, Exemplar, cut_exemplars, signed_depth
from anomaly_gan.samples.sample import Sample

CLASS = "hole"
Mask = NDArray[np.uint8]


def sample(mask: Mask, *, colour: bool = False, level: int = 120, inside: int = 40, **kept: Any) -> Sample:
    """Flat pictures with flat anomalies."""
    image = np.full(mask.shape, level, np.uint8)
    image[mask == 1] = inside
    return Sample("p", np.dstack([image] * 3) if colour else image, {CLASS: mask}, **kept)


def box(shape: tuple[int, int], top: int, left: int, height: int, width: int) -> Mask:
    mask = np.zeros(shape, np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def only(samples: list[Sample], most_px: int = 128) -> Exemplar:
    [found] = cut_exemplars(samples, CLASS, most_px)
    return found


@pytest.mark.parametrize("colour", [False, True])
def test_an_exemplar_is_the_anomaly_with_a_margin_and_its_picture(colour: bool) -> None:
    whole = sample(box((90, 100), 40, 30, 9, 14), colour=colour)
    found = only([whole])
    rows, columns = slice(40 - MARGIN_PX, 49 + MARGIN_PX), slice(30 - MARGIN_PX, 44 + MARGIN_PX)
    assert found.source == "p"
    assert np.array_equal(found.image, whole.image[rows, columns])
    assert np.array_equal(found.mask, whole.masks[CLASS][rows, columns])
    assert found.area_px == 9 * 14


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 60), (70, 0), (81, 86), (81, 40)])
def test_at_a_border_of_its_picture_an_exemplar_has_the_margin_that_there_is(top: int, left: int) -> None:
    whole = sample(box((90, 100), top, left, 9, 14))
    found = only([whole])
    assert found.area_px == 9 * 14
    assert found.mask.shape == found.image.shape
    assert found.mask.shape[0] == min(top + 9 + MARGIN_PX, 90) - max(top - MARGIN_PX, 0)
    assert found.mask.shape[1] == min(left + 14 + MARGIN_PX, 100) - max(left - MARGIN_PX, 0)
    assert np.allclose(found.contrast[found.mask == 1], -2 / 3, atol=1e-3)


def test_every_part_is_an_exemplar_of_its_own_or_every_annotated_instance() -> None:
    mask = box((80, 80), 10, 10, 5, 5) | box((80, 80), 60, 60, 6, 6)
    assert sorted(one.area_px for one in cut_exemplars([sample(mask)], CLASS, 64)) == [25, 36]
    numbers = mask.astype(np.uint16)
    assert [one.area_px for one in cut_exemplars([sample(mask, instances={CLASS: numbers})], CLASS, 128)] == [61]


def test_specks_and_pictures_without_the_class_are_left_out() -> None:
    speck = np.zeros((40, 40), np.uint8)
    speck[20, 20 : 20 + LEAST_PX - 1] = 1
    normal = Sample("n", np.zeros((40, 40), np.uint8))
    assert cut_exemplars([sample(speck), normal], CLASS, 64) == ()
    speck[20, 20 : 20 + LEAST_PX] = 1
    assert only([sample(speck)]).area_px == LEAST_PX


@pytest.mark.parametrize(("height", "width"), [(120, 100), (150, 10), (8, 140)])
def test_of_an_anomaly_larger_than_the_view_a_piece_around_its_outline_is_cut(height: int, width: int) -> None:
    found = only([sample(box((160, 160), 5, 8, height, width))], most_px=64)
    assert max(found.mask.shape) <= 64
    # with a part of the outline, and what is on both sides of it
    assert 0.1 < found.mask.mean() < 0.9
    assert found.contrast[found.mask == 1].mean() == pytest.approx(-2 / 3, abs=0.01)


@pytest.mark.parametrize("most_px", [64, 128])
def test_an_anomaly_that_fills_its_picture_is_left_out_since_it_has_no_surroundings(most_px: int) -> None:
    full, nearly = np.ones((100, 120), np.uint8), np.ones((100, 120), np.uint8)
    nearly[0, 0] = 0
    assert cut_exemplars([sample(full), sample(nearly)], CLASS, most_px) == ()
    nearly[:, :20] = 0
    assert len(cut_exemplars([sample(full), sample(nearly)], CLASS, most_px)) == 1


def test_of_many_anomalies_so_many_are_kept_that_all_sizes_are_there() -> None:
    sides = np.random.default_rng(0).permutation(np.repeat(np.arange(2, 34), 5))
    many = [sample(box((70, 70), 15, 15, side, side)) for side in sides]
    kept = cut_exemplars(many, CLASS, 128)
    assert len(many) == 160 and len(kept) == MOST == 64
    assert {one.area_px for one in kept} == {side * side for side in range(2, 34)}
    # in the order of the pictures, the same every time
    areas = [int(one.masks[CLASS].sum()) for one in many]
    places = iter(areas)
    assert all(one.area_px in places for one in kept)
    assert [one.area_px for one in cut_exemplars(many, CLASS, 128)] == [one.area_px for one in kept]
    assert len(cut_exemplars(many[:MOST], CLASS, 128)) == MOST


# --- contrast and depth


@pytest.mark.parametrize("colour", [False, True])
def test_contrast_is_a_share_of_the_surroundings_also_on_a_slope(colour: bool) -> None:
    mask = box((80, 80), 30, 30, 12, 16)
    ramp = np.add.outer(np.arange(80), np.zeros(80)) + 60
    image = (ramp * (1 - 0.4 * mask)).astype(np.uint8)
    whole = Sample("p", np.dstack([image] * 3) if colour else image, {CLASS: mask})
    contrast = only([whole]).contrast
    inside = only([whole]).mask == 1
    assert contrast.dtype == np.float32 and contrast.shape == (*inside.shape, 3 if colour else 1)
    assert contrast[inside].mean() == pytest.approx(-0.4, abs=0.02)
    assert np.abs(contrast[inside] + 0.4).mean() < 0.03


def test_contrast_is_0_where_the_picture_is_surroundings_and_takes_in_what_is_beside_a_tight_outline() -> None:
    mask = box((60, 60), 20, 20, 12, 12)
    image = np.full((60, 60), 100, np.uint8)
    image[18:34, 18:34] = 30  # the anomaly is two pixels larger on each side than it was drawn
    found = only([Sample("p", image, {CLASS: mask})])
    assert np.allclose(found.contrast[found.mask == 1], -0.7, atol=0.01)
    wide = box((60, 60), 18, 18, 16, 16)[20 - MARGIN_PX : 32 + MARGIN_PX, 20 - MARGIN_PX : 32 + MARGIN_PX]
    assert np.allclose(found.contrast[wide == 0], 0, atol=1e-3)


def test_depth_is_the_distance_to_the_outline_and_the_border_of_the_picture_is_none() -> None:
    mask = box((30, 40), 0, 0, 12, 40)  # it goes on beyond three borders
    depth = signed_depth(mask)
    assert depth.dtype == np.float32
    assert (depth > 0).tolist() == (mask == 1).tolist()
    assert depth[:, 20].tolist() == [*range(12, 0, -1), *range(-1, -19, -1)]
    assert np.array_equal(depth, np.tile(depth[:, :1], (1, 40)))


@pytest.mark.parametrize("value", [0, 1])
def test_a_picture_without_an_outline_is_far_from_any(value: int) -> None:
    depth = signed_depth(np.full((9, 9), value, np.uint8))
    assert np.isfinite(depth).all() and (np.abs(depth) > 100).all()
    assert (depth > 0).all() == bool(value)


def test_the_pixels_of_a_mask_are_listed_from_the_outermost_to_the_deepest() -> None:
    found = only([sample(box((60, 60), 20, 20, 11, 11))])
    depths, rows, columns = found.by_depth
    assert len(depths) == found.area_px == 121
    assert (np.diff(depths) >= 0).all() and (depths[0], depths[-1]) == (1, 6)
    assert np.array_equal(found.depth[rows, columns], depths)
    assert (rows[-1], columns[-1]) == (MARGIN_PX + 5, MARGIN_PX + 5)


def test_an_exemplar_is_mirrored_whole() -> None:
    rng = np.random.default_rng(0)
    one = Exemplar("p", rng.integers(0, 256, (12, 17, 3), np.uint8), rng.integers(0, 2, (12, 17), np.uint8))
    both = one.flipped(horizontal=True, vertical=True)
    assert np.array_equal(both.image, one.image[::-1, ::-1]) and np.array_equal(both.mask, one.mask[::-1, ::-1])
    across = one.flipped(horizontal=True, vertical=False)
    assert np.array_equal(across.image, one.image[:, ::-1]) and np.array_equal(across.mask, one.mask[:, ::-1])
    again = across.flipped(horizontal=True, vertical=False)
    assert np.array_equal(again.image, one.image) and again.source == "p"
