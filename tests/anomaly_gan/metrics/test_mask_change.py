"""Measures of one generated image: known answers, a brute-force average precision, undefined cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.metrics.mask_change import (
    MaskChange,
    average_precision,
    average_precision_of_counts,
    grid_excess,
    measure,
    summarise,
)
from infra.errors import DataError


def textured(seed: int = 0, shape: tuple[int, ...] = (32, 40)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 180, shape, dtype=np.uint8)


def square_mask(shape: tuple[int, int] = (32, 40)) -> NDArray[np.uint8]:
    mask = np.zeros(shape, np.uint8)
    mask[10:18, 12:20] = 1
    return mask


def brute_force_average_precision(scores: NDArray[np.int64], positives: NDArray[np.bool_]) -> float:
    total, recall_before, area = positives.sum(), 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= threshold
        recall = (chosen & positives).sum() / total
        area += (recall - recall_before) * (chosen & positives).sum() / chosen.sum()
        recall_before = recall
    return area


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.int64, 30, elements=st.integers(0, 6)),
    arrays.arrays(np.bool_, 30).filter(lambda flags: 0 < flags.sum() < 30),
)
def test_average_precision_equals_a_brute_force_one_also_with_ties(
    scores: NDArray[np.int64], positives: NDArray[np.bool_]
) -> None:
    wanted = brute_force_average_precision(scores, positives)
    assert average_precision(scores, positives) == pytest.approx(wanted)
    assert average_precision_of_counts(scores, positives) == pytest.approx(wanted)


def test_average_precision_of_equal_scores_is_the_share_of_positives() -> None:
    assert average_precision(np.zeros(8), np.array([True, False] * 4)) == pytest.approx(0.5)


def test_a_change_inside_the_mask_only_is_hit_and_leaves_the_background_alone() -> None:
    normal, mask = textured(), square_mask()
    raw = normal + np.uint8(30) * mask
    result = measure(normal, raw, raw, mask, feather_px=2)
    assert result.in_mask_change == 30
    assert result.background_mae_raw == 0
    assert result.background_mae_pasted == 0
    assert result.background_slope == pytest.approx(1)
    assert result.mask_hit is not None and result.mask_hit > 0.9


def test_an_even_change_hits_the_mask_no_better_than_its_share_of_the_image() -> None:
    normal, mask = textured(), square_mask()
    raw = normal + np.uint8(20)
    result = measure(normal, raw, normal, mask, feather_px=0)
    assert result.mask_hit == pytest.approx(mask.mean())
    assert result.background_mae_raw == 20
    assert result.background_mae_pasted == 0


def test_colour_is_measured_as_the_mean_over_the_channels() -> None:
    normal, mask = textured(shape=(32, 40, 3)), square_mask()
    raw = normal.copy()
    raw[..., 0] += 30
    result = measure(normal, raw, raw, mask, feather_px=0)
    assert result.in_mask_change == pytest.approx(10)
    assert result.background_mae_raw == pytest.approx(10)


def test_the_feather_is_no_background_not_even_at_the_corner_of_a_square_one() -> None:
    normal, mask = textured(), square_mask()
    pasted = normal.copy()
    pasted[8:20, 10:22] += 9
    assert measure(normal, pasted, pasted, mask, feather_px=2).background_mae_pasted == 0
    assert measure(normal, pasted, pasted, mask, feather_px=1).background_mae_pasted != 0


def test_background_slope_is_the_contrast_that_is_left() -> None:
    normal, mask = textured(), square_mask()
    raw = np.round(normal * 0.5 + 40).astype(np.uint8)
    assert measure(normal, raw, raw, mask, feather_px=2).background_slope == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("period", [2, 4])
def test_grid_excess_finds_a_checkerboard_of_either_period(period: int) -> None:
    rows, columns = np.indices((64, 64))
    grid = (((rows // (period // 2)) + (columns // (period // 2))) % 2 * 12).astype(np.uint8)
    normal = textured(shape=(64, 64))
    excess = grid_excess(normal, normal + grid)
    assert excess is not None and excess > 0.3
    flat = np.full((64, 64), 90, np.uint8)
    excess_on_flat = grid_excess(flat, flat + grid)
    assert excess_on_flat is not None and excess_on_flat > 2


def test_grid_excess_is_zero_for_the_same_image_and_negative_for_a_blurred_one() -> None:
    normal = textured(shape=(64, 64))
    assert grid_excess(normal, normal) == 0
    blurred = np.full((64, 64), 120, np.uint8)
    excess = grid_excess(normal, blurred)
    assert excess is not None and excess < -2


def test_what_is_undefined_is_none() -> None:
    constant = np.full((32, 40), 100, np.uint8)
    full, empty = np.ones((32, 40), np.uint8), np.zeros((32, 40), np.uint8)
    on_full = measure(textured(), constant, constant, full, feather_px=2)
    assert (on_full.background_mae_raw, on_full.background_mae_pasted) == (None, None)
    assert (on_full.background_slope, on_full.mask_hit) == (None, None)
    on_empty = measure(constant, textured(), textured(), empty, feather_px=2)
    assert (on_empty.in_mask_change, on_empty.mask_hit, on_empty.background_slope) == (None, None, None)
    assert grid_excess(constant[:6, :6], constant[:6, :6]) is None


def test_measure_names_the_image_whose_shape_disagrees() -> None:
    with pytest.raises(DataError, match=r"raw: expected uint8 of shape \(32, 40\)"):
        measure(textured(), textured(shape=(8, 8)), textured(), square_mask(), feather_px=0)
    with pytest.raises(DataError, match="mask: expected shape"):
        measure(textured(), textured(), textured(), square_mask((40, 32)), feather_px=0)


def test_summarise_leaves_undefined_measures_out_of_mean_and_count() -> None:
    changes = [MaskChange(value, None, 0.0, None, 0.0, 0.5) for value in (1.0, 2.0, 6.0)]
    summary = summarise([*changes, MaskChange(None, None, 0.0, None, 0.0, 0.5)])
    assert summary["in_mask_change"] == {"mean": 3.0, "median": 2.0, "n": 3}
    assert summary["background_slope"] == {"mean": None, "median": None, "n": 0}
    assert summary["mask_hit"]["n"] == 4
