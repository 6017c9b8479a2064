"""Scores of pixels: by hand, against slow forms that see every pixel, and against torchmetrics and scikit-learn."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import label
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

from anomaly_gan.metrics.pixels import BINS, PixelScores, count_picture, pixel_scores, resampled_ap
from infra.errors import DataError

Picture = tuple[NDArray[np.float32], NDArray[np.uint8]]


def scored(*pictures: tuple[list[list[float]], list[list[int]]]) -> PixelScores:
    return pixel_scores([count_picture(np.array(s, np.float32), np.array(m, np.uint8)) for s, m in pictures])


def random_picture(seed: int, *, anomalous: bool = True, size: tuple[int, int] = (40, 50)) -> Picture:
    """Blobs in noise; scores are multiples of 1 / BINS, so that nothing is lost."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for _ in range(4 if anomalous else 0):
        top, left = rng.integers(0, 30, 2)
        mask[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] = 1
    score_map = rng.beta(2, 5, size) * 0.8 + 0.2 * mask * rng.random(size)
    return (np.floor(score_map * BINS) / BINS).astype(np.float32), mask


PICTURES = [random_picture(seed, anomalous=seed % 3 > 0) for seed in range(9)]
COUNTS = [count_picture(*picture) for picture in PICTURES]
SCORES = np.concatenate([score_map.ravel() for score_map, _ in PICTURES])
TRUTH = np.concatenate([mask.ravel() for _, mask in PICTURES])


def test_four_pixels_by_hand() -> None:
    scores = scored(([[0.875, 0.75, 0.5, 0.125]], [[1, 0, 1, 0]]))
    assert scores.pixel_ap == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert scores.pixel_auroc == pytest.approx(3 / 4)
    assert scores.f1_max == pytest.approx(4 / 5)  # 2 hits, 1 false alarm
    assert scores.threshold == 0.5
    assert (scores.pictures, scores.anomalous_pictures, scores.instances) == (1, 1, 2)


def test_ties_are_taken_together_in_any_order() -> None:
    for values, mask in (([0.5, 0.5, 0.25], [1, 0, 1]), ([0.5, 0.5, 0.25], [0, 1, 1])):
        scores = scored(([values], [mask]))
        assert scores.pixel_ap == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 2 / 3)
        assert scores.pixel_auroc == pytest.approx((1 / 2 + 0) / 2)


def test_pro_weighs_parts_alike_and_stops_at_a_false_positive_rate_of_three_tenths() -> None:
    # Two parts of 1 px among 8 normal: the rate is 1 / 8 when the second is found.
    scores = scored(([[0.9, 0.8, 0.7, 0.6, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1]], [[1, 0, 1, 0, 0, 0, 0, 0, 0, 0]]))
    assert scores.pro == pytest.approx((1 / 2 * 1 / 8 + 1 * (0.3 - 1 / 8)) / 0.3)
    # Parts of 1 and 4 px among 5 normal: the mean overlap is 1 / 2, not 1 / 5, up to a rate of 3 / 5.
    scores = scored(([[0.9, 0.8, 0.7, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]], [[1, 0, 0, 0, 0, 0, 1, 1, 1, 1]]))
    assert scores.pro == pytest.approx(1 / 2)


def test_pro_goes_straight_through_a_step_that_crosses_the_limit() -> None:
    scores = scored(([[0.5, 0.5, 0.5]], [[1, 0, 0]]))  # one line from (0, 0) to (1, 1)
    assert scores.pro == pytest.approx(0.3 / 2)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    assert count_picture(np.zeros((2, 2), np.float32), np.eye(2, dtype=np.uint8)).parts == 1


def test_a_picture_is_as_anomalous_as_its_worst_pixel() -> None:
    normal = [[0.1, 0.3]], [[0, 0]]
    worse = [[0.1, 0.6]], [[0, 0]]
    tied = [[0.6, 0.1]], [[0, 1]]
    clear = [[0.1, 0.9]], [[0, 1]]
    assert scored(normal, worse, tied, clear).image_auroc == pytest.approx((1 + 1 / 2 + 2) / 4)
    assert scored(tied, clear).image_auroc is None


def test_pictures_of_anomaly_alone_have_no_score_that_needs_normal_pixels() -> None:
    scores = scored(([[0.1, 0.9]], [[1, 1]]))
    assert (scores.pixel_auroc, scores.pro, scores.pixel_ap) == (None, None, 1)


def test_ap_and_auroc_are_those_of_torchmetrics() -> None:
    scores = pixel_scores(COUNTS)
    found, truth = torch.from_numpy(SCORES).double(), torch.from_numpy(TRUTH).long()
    assert scores.pixel_ap == pytest.approx(float(BinaryAveragePrecision()(found, truth)), abs=1e-6)
    assert scores.pixel_auroc == pytest.approx(float(BinaryAUROC()(found, truth)), abs=1e-6)


def test_scores_between_the_bins_lose_less_than_a_thousandth() -> None:
    rng = np.random.default_rng(0)
    mask = (rng.random((300, 300)) < 0.02).astype(np.uint8)
    score_map = np.clip(rng.normal(0.4, 0.1, mask.shape) + 0.2 * mask, 0, 1).astype(np.float32)
    scores = pixel_scores([count_picture(score_map, mask)])
    found, truth = torch.from_numpy(score_map).flatten(), torch.from_numpy(mask).long().flatten()
    assert scores.pixel_ap == pytest.approx(float(BinaryAveragePrecision()(found, truth)), abs=1e-3)
    assert scores.pixel_auroc == pytest.approx(float(BinaryAUROC()(found, truth)), abs=1e-4)


def test_f1_and_pro_are_those_of_all_thresholds_tried_on_the_pixels() -> None:
    thresholds = np.unique(SCORES)[::-1]
    parts = [  # scores of the pixels of each part
        score_map[labels == number]
        for score_map, mask in PICTURES
        for labels, count in [label(mask, np.ones((3, 3)))]
        for number in range(1, count + 1)
    ]
    f1, rates, overlaps = [], [0.0], [0.0]
    for threshold in thresholds:
        found = threshold <= SCORES
        f1.append(2 * (found & (TRUTH > 0)).sum() / (found.sum() + TRUTH.sum()))
        rates.append(found[TRUTH == 0].mean())
        overlaps.append(np.mean([(part >= threshold).mean() for part in parts]))
    inside = [rate < 0.3 for rate in rates]
    edge = np.interp(0.3, rates, overlaps)
    area = np.trapezoid([*np.array(overlaps)[inside], edge], [*np.array(rates)[inside], 0.3])
    scores = pixel_scores(COUNTS)
    assert scores.f1_max == pytest.approx(max(f1))
    assert scores.threshold == thresholds[int(np.argmax(f1))]
    assert scores.pro == pytest.approx(area / 0.3)
    assert scores.instances == len(parts)


def test_a_mask_four_pixels_beside_the_anomaly_scores_less() -> None:
    _, mask = random_picture(1)
    score_map = np.clip(0.8 * mask + np.random.default_rng(0).normal(0.1, 0.03, mask.shape), 0, 1).astype(np.float32)
    right = pixel_scores([count_picture(score_map, mask)])
    shifted = pixel_scores([count_picture(np.roll(score_map, 4, axis=1), mask)])
    assert right.pixel_ap > 0.99 and right.f1_max > 0.99
    assert shifted.pixel_ap < 0.6 and shifted.f1_max < 0.7


def test_resampled_ap_is_that_of_pictures_that_are_there_as_often_as_drawn() -> None:
    weights = np.random.default_rng(0).integers(0, 4, (300, len(COUNTS)))
    found = resampled_ap(COUNTS, weights)
    for row, ap in zip(weights[::60], found[::60], strict=True):
        repeated = [each for each, times in zip(COUNTS, row, strict=True) for _ in range(times)]
        assert ap == pytest.approx(pixel_scores(repeated).pixel_ap)


def test_a_resampling_without_anomaly_has_no_ap() -> None:
    normal = [float(not each.is_anomalous) for each in COUNTS]
    found = resampled_ap(COUNTS, np.array([normal, np.ones(len(COUNTS))]))
    assert np.isnan(found[0]) and found[1] == pytest.approx(pixel_scores(COUNTS).pixel_ap)
    assert np.isnan(resampled_ap(COUNTS[:1], np.ones((2, 1)))).all()


def test_a_score_of_one_belongs_to_the_highest_bin() -> None:
    counts = count_picture(np.array([[1, 0]], np.float32), np.array([[1, 0]], np.uint8))
    assert counts.positives.shape == counts.negatives.shape == counts.overlap.shape == (BINS,)
    assert (counts.positives[-1], counts.negatives[0], counts.overlap[-1]) == (1, 1, 1)


def test_pictures_without_any_anomaly_are_refused() -> None:
    with pytest.raises(DataError, match="none of the 2 test pictures is anomalous"):
        scored(([[0.5]], [[0]]), ([[0.1]], [[0]]))


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_scores_outside_their_range_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"must be in 0\.\.1"):
        count_picture(np.array([[value, 0.5]], np.float32), np.zeros((1, 2), np.uint8))


def test_a_map_of_another_size_than_its_mask_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(1, 2\), its mask \(2, 1\)"):
        count_picture(np.zeros((1, 2), np.float32), np.zeros((2, 1), np.uint8))
