"""Severity: thirds of the real images by area and contrast, and what brings a generated anomaly to a contrast."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anomaly_gan.config import Bin
from anomaly_gan.masks.pool.severity import (
    MAX_GAIN,
    Severity,
    contrast,
    gain_for,
    measure_severity,
)
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.surroundings import GAP_PX, RING_PX, surroundings

Image = NDArray[np.uint8]

MASK = np.zeros((60, 60), np.uint8)
MASK[20:30, 20:35] = 1


def painted(inside: int, around: int = 100) -> Image:
    return np.where(MASK == 1, inside, around).astype(np.uint8)


def sample(key: str, area: int, level: int) -> Sample:
    mask = np.zeros((60, 60), np.uint8)
    mask[20:30].flat[:area] = 1
    return Sample(key, np.where(mask == 1, level, 100).astype(np.uint8), {"hole": mask})


def test_contrast_is_the_difference_of_the_means_whichever_is_brighter() -> None:
    assert contrast(painted(40), MASK) == 60
    assert contrast(painted(175), MASK) == 75
    assert contrast(painted(100), MASK) == 0
    half = painted(40)
    half[20:25] = 100  # half of the mask's rows
    assert contrast(half, MASK) == 30


def test_contrast_of_colour_is_the_mean_over_its_channels() -> None:
    colour = np.stack([painted(40), painted(100), painted(130)], axis=-1)
    assert contrast(colour, MASK) == pytest.approx(10)


def test_contrast_sees_neither_the_soft_edge_nor_what_is_far_away() -> None:
    image = painted(40)
    rows, columns = np.indices(image.shape)
    away = np.hypot(
        np.maximum(np.maximum(20 - rows, rows - 29), 0), np.maximum(np.maximum(20 - columns, columns - 34), 0)
    )
    image[((away > 0) & (away <= GAP_PX)) | (away > RING_PX)] = 255
    assert contrast(image, MASK) == 60
    assert np.array_equal(surroundings(MASK), (away > GAP_PX) & (away <= RING_PX))


def test_a_mask_with_nothing_around_it_has_no_contrast() -> None:
    assert contrast(painted(40), np.ones_like(MASK)) == 0


def test_thirds_are_the_quantiles_of_the_real_images() -> None:
    levels = [101, 160, 110, 70]  # contrasts 1, 60, 10, 30
    known = measure_severity([sample(str(i), 10 * (i + 1), level) for i, level in enumerate(levels)], "hole")
    assert known.area_px == pytest.approx((10, 20, 30, 40))
    assert known.contrast == pytest.approx((1, 10, 30, 60))
    assert Severity.model_validate_json(known.model_dump_json()) == known


def test_limits_of_a_third_are_its_least_and_largest_value() -> None:
    known = Severity(area_px=(10, 20, 30, 40), contrast=(1, 2, 3, 4))
    names: tuple[Bin, ...] = ("low", "medium", "high", "any")
    assert [known.limits("area_px", name) for name in names] == [(10, 20), (20, 30), (30, 40), (10, 40)]
    assert known.limits("contrast", "high") == (3, 4)


@pytest.mark.parametrize(
    ("value", "third"),
    [
        (0, "low"),
        (10, "low"),
        (19.9, "low"),
        (20, "medium"),
        (29.9, "medium"),
        (30, "high"),
        (40, "high"),
        (99, "high"),
    ],
)
def test_a_value_lies_in_one_third_beyond_the_real_ones_in_the_nearest(value: float, third: str) -> None:
    known = Severity(area_px=(10, 20, 30, 40), contrast=(110, 120, 130, 140))
    assert known.third("area_px", value) == third
    assert known.third("contrast", value + 100) == third


@pytest.mark.parametrize(
    ("generated", "wanted", "gain"),
    [
        (80, 30, 1.5),
        (80, 10, 0.5),
        (80, 20, 1),
        (120, 30, 1.5),
        (120, 10, 0.5),
        (95, 90, MAX_GAIN),
        (80, 0, 0),
        (100, 50, 1),  # nothing was generated
        (101, 2, 2),
    ],
)
def test_a_gain_brings_a_change_to_the_wanted_contrast_in_its_own_direction(
    generated: int, wanted: float, gain: float
) -> None:
    assert gain_for(painted(100), painted(generated), MASK, wanted) == pytest.approx(gain)


@pytest.mark.parametrize(
    ("before", "after", "wanted", "gain"),
    [(110, 80, 20, 1), (110, 80, 5, 0.5), (90, 80, 30, 2), (90, 120, 50, 2), (70, 60, 10, 0), (130, 140, 10, 0)],
)
def test_a_gain_counts_what_the_place_stood_out_by_before(before: int, after: int, wanted: float, gain: float) -> None:
    assert gain_for(painted(before), painted(after), MASK, wanted) == pytest.approx(gain)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 99), st.integers(-60, 60), st.floats(0, 60))
def test_any_texture_with_the_gain_has_the_wanted_contrast_unless_the_gain_is_at_its_bounds(
    seed: int, change: int, wanted: float
) -> None:
    normal = np.random.default_rng(seed).integers(110, 140, MASK.shape, dtype=np.uint8)
    raw = (normal.astype(int) + change * MASK.astype(int)).astype(np.uint8)
    gain = gain_for(normal, raw, MASK, wanted)
    assert 0 <= gain <= MAX_GAIN
    stronger = normal + gain * (raw.astype(float) - normal)
    reached = abs(stronger[MASK == 1].mean() - stronger[surroundings(MASK)].mean())
    if change == 0:
        assert gain == 1
    elif 0 < gain < MAX_GAIN:
        assert reached == pytest.approx(wanted, abs=0.01)
