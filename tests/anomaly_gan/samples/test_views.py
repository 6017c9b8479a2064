"""Whole frames, windows at native scale, and flips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_gan.config import ViewConfig
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import TURNS, flip, take_view, turned_sample
from infra.errors import DataError

WINDOW = ViewConfig(kind="window", size=64)


def coordinates(height: int, width: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """A colour picture whose pixels tell their row and column."""
    rows, columns = np.indices((height, width))
    return np.stack([rows, columns, np.zeros_like(rows)], 2).astype(np.uint8)


def masked(height: int, width: int, pixels: list[tuple[int, int]]) -> Sample:
    """One hole of the given pixels, numbered as instances, and a scratch over the first row."""
    mask, scratch, numbers = (np.zeros((height, width), np.uint8) for _ in range(3))
    for number, (row, column) in enumerate(pixels, 1):
        mask[row, column] = 1
        numbers[row, column] = number
    scratch[0] = 1
    instances = {"hole": numbers.astype(np.uint16)}
    return Sample("tile", coordinates(height, width), {"hole": mask, "scratch": scratch}, instances, {"group": "g"})


@st.composite
def pictures(draw: st.DrawFn) -> Sample:
    height, width = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    pixel = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    return masked(height, width, draw(st.lists(pixel, min_size=1, max_size=4, unique=True)))


@settings(max_examples=150, deadline=None)
@given(pictures(), st.integers(0, 10))
def test_a_window_holds_a_pixel_of_its_class_and_every_mask_lies_where_its_image_is(sample: Sample, seed: int) -> None:
    view = take_view(sample, WINDOW, np.random.default_rng(seed), "hole")
    assert view.image.shape == (64, 64, 3)
    assert view.masks["hole"].any()
    rows, columns = view.image[..., 0], view.image[..., 1]
    for name, mask in sample.masks.items():
        assert np.array_equal(view.masks.get(name, np.zeros((64, 64), np.uint8)), mask[rows, columns])
    assert np.array_equal(view.instances["hole"], sample.instances["hole"][rows, columns])


@settings(max_examples=60, deadline=None)
@given(pictures(), st.integers(0, 10), st.sampled_from([None, "hole"]))
def test_a_window_is_a_part_of_the_picture_and_tells_where(sample: Sample, seed: int, name: str | None) -> None:
    view = take_view(sample, WINDOW, np.random.default_rng(seed), name)
    height, width = sample.image.shape[:2]
    left, top, size = view.meta["window"]
    assert size == 64 and view.meta["group"] == "g"
    assert 0 <= top <= max(height - 64, 0) and 0 <= left <= max(width - 64, 0)
    part = sample.image[top : top + 64, left : left + 64]
    assert np.array_equal(view.image[: part.shape[0], : part.shape[1]], part)


def test_a_small_picture_is_filled_by_mirroring_it_again_and_again() -> None:
    sample = Sample("tile", np.array([[1, 2, 3]], np.uint8))
    view = take_view(sample, WINDOW, np.random.default_rng(0), None)
    assert view.image[0, :9].tolist() == [1, 2, 3, 3, 2, 1, 1, 2, 3]
    assert (view.image == view.image[0]).all()


def test_an_anomaly_in_the_mirror_image_is_masked_too() -> None:
    view = take_view(masked(40, 64, [(38, 5)]), WINDOW, np.random.default_rng(0), "hole")
    assert np.argwhere(view.masks["hole"]).tolist() == [[38, 5], [41, 5]]


def test_masks_without_a_pixel_in_the_window_are_left_out() -> None:
    view = take_view(masked(200, 64, [(190, 5)]), WINDOW, np.random.default_rng(0), "hole")
    assert list(view.masks) == ["hole"]


def test_windows_of_a_seed_are_equal_and_those_of_others_are_spread_over_all_possible_ones() -> None:
    sample = masked(100, 90, [(50, 40)])
    starts = []
    for seed in range(300):
        first, second = (take_view(sample, WINDOW, np.random.default_rng(seed), "hole") for _ in range(2))
        assert np.array_equal(first.image, second.image)
        starts.append(first.meta["window"][:2])
    assert {left for left, _ in starts} == set(range(27))
    assert {top for _, top in starts} == set(range(37))


def test_a_whole_frame_of_the_size_is_taken_as_it_is() -> None:
    sample, rng = masked(64, 64, [(3, 4)]), np.random.default_rng(0)
    assert take_view(sample, ViewConfig(size=64), rng, "hole") is sample
    assert rng.random() == np.random.default_rng(0).random()


def test_a_whole_frame_of_another_size_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError) as caught:
        take_view(masked(64, 80, [(3, 4)]), ViewConfig(size=64), np.random.default_rng(0), "hole")
    assert str(caught.value) == (
        "sample tile: is 80x64 px, the view is the whole frame of 64;"
        " import with --resolution 64, or view it through windows"
    )


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
def test_a_flip_mirrors_image_masks_and_instances_alike(horizontal: bool, vertical: bool) -> None:
    sample = masked(5, 7, [(1, 2), (4, 6)])
    flipped = flip(sample, horizontal=horizontal, vertical=vertical)
    rows, columns = flipped.image[..., 0], flipped.image[..., 1]
    assert (rows[0, 0], columns[0, 0]) == (4 if vertical else 0, 6 if horizontal else 0)
    for name in ("hole", "scratch"):
        assert np.array_equal(flipped.masks[name], sample.masks[name][rows, columns])
    assert np.array_equal(flipped.instances["hole"], sample.instances["hole"][rows, columns])
    again = flip(flipped, horizontal=horizontal, vertical=vertical)
    assert np.array_equal(again.image, sample.image)


@pytest.mark.parametrize("turn", range(TURNS))
def test_a_turned_sample_takes_its_masks_along(turn: int) -> None:
    """Each pixel knows where it was, so the mask must mark the very same ones."""
    sample = masked(5, 7, [(1, 2), (1, 3), (4, 6)])
    copy = turned_sample(sample, turn)
    before = {tuple(pixel) for pixel in sample.image[sample.masks["hole"] > 0]}
    assert {tuple(pixel) for pixel in copy.image[copy.masks["hole"] > 0]} == before
    assert copy.image.shape[:2] == ((7, 5) if turn % 2 else (5, 7)) == copy.masks["hole"].shape
    assert {copy.image.tobytes() for copy in (turned_sample(sample, other) for other in range(turn))} != {
        copy.image.tobytes()
    }
