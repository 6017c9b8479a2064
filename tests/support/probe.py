"""A linear probe: whether the shapes of masks alone tell one kind of them from another."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

FOLDS = 5
RIDGE = 5.0
"""Weight of the squared coefficients, of standardised features."""


def told_apart(ones: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]]) -> float:
    """Area under the ROC curve of ridge regression on `shape_features`, a mean over folds; .5 = not at all.

    Args:
        ones, others: masks [H, W] uint8 {0, 1} of one size each, none empty.
    """
    features = np.array([shape_features(mask) for mask in (*ones, *others)])
    kinds = np.repeat([-1.0, 1.0], [len(ones), len(others)])
    order = np.random.default_rng(0).permutation(len(kinds))
    features, kinds = features[order], kinds[order]
    folds = np.arange(len(kinds)) % FOLDS
    return float(np.mean([_area(features, kinds, folds == fold) for fold in range(FOLDS)]))


def shape_features(mask: NDArray[np.uint8]) -> list[float]:
    """Size, box, place, parts, direction, contact with the borders and roughness of the outline."""
    parts, _ = cv2.connectedComponents(mask, connectivity=8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    perimeter = sum(cv2.arcLength(outline, True) for outline in outlines) + 1
    hull = sum(cv2.contourArea(cv2.convexHull(outline)) for outline in outlines) + 1
    left, top, width, height = cv2.boundingRect(mask)
    rows, columns = np.nonzero(mask)
    # a pixel is no point: 1/12 of variance in each direction
    spread = np.cov(np.stack([columns, rows]), bias=True) + np.eye(2) / 12
    least, most = np.linalg.eigvalsh(spread)
    area, core = len(rows), int(cv2.erode(mask, np.ones((3, 3), np.uint8)).sum())
    signed = mask.astype(int)
    steps = np.abs(np.diff(signed, axis=0)).sum() + np.abs(np.diff(signed, axis=1)).sum()
    borders = [mask[0], mask[-1], mask[:, 0], mask[:, -1]]
    return [
        *(np.log(area), np.log(perimeter), area / hull, core / area, steps / perimeter, parts - 1),
        *(left, top, left + width, top + height, width, height, max(width, height), min(width, height)),
        *(np.log(least), np.log(most), np.log(spread[0, 0] / spread[1, 1])),
        abs(spread[0, 1]) / np.sqrt(spread[0, 0] * spread[1, 1]),
        *(float(border.any()) for border in borders),
        float(sum(border.sum() for border in borders)),
    ]


def _area(features: NDArray[np.float64], kinds: NDArray[np.float64], is_test: NDArray[np.bool_]) -> float:
    """Of one fold: learnt from the others."""
    known = features[~is_test]
    scaled = (features - known.mean(0)) / (known.std(0) + 1e-9)
    scaled = np.c_[scaled, np.ones(len(scaled))]
    known, wanted = scaled[~is_test], kinds[~is_test]
    weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)
    ranks, is_one = rankdata(scaled[is_test] @ weights), kinds[is_test] > 0
    ones, others = is_one.sum(), (~is_one).sum()
    return float((ranks[is_one].sum() - ones * (ones + 1) / 2) / (ones * others))
