"""Scores of maps that say for each pixel how anomalous it is, on whole test pictures.

A picture is reduced to histograms over BINS equal bins of the score. They add up, so scores of hundreds of large
pictures, or of thousands of resampled test sets, never need the pixels again. All scores are exact for the
thresholds k / BINS; scores of one bin are ties.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.records import Record
from infra.errors import DataError

BINS = 4096
PRO_LIMIT = 0.3  # false positive rate up to which PRO is taken (MVTec's protocol)
ROWS = 256  # resamplings at once, so that they stay in tens of MB


@dataclass(frozen=True)
class PictureCounts:
    """What the scores need to know of one class in one picture. Bin k holds scores from k / BINS on.

    Attributes:
        positives: [BINS] int64, pixels in the mask.
        negatives: [BINS] int64, pixels outside.
        overlap: [BINS] float64, PRO's share: of each connected part of the mask (8 neighbours) the histogram of its
            pixels over its size, summed over the parts.
        parts: connected parts of the mask.
        score: of the whole picture, 0..1: the largest of its map.
    """

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    overlap: NDArray[np.float64]
    parts: int
    score: float

    @property
    def is_anomalous(self) -> bool:
        return self.parts > 0


class PixelScores(Record):
    """Scores of one class on one test set, 0..1.

    Attributes:
        pixel_ap: average precision over all pixels: the sum over thresholds of precision times step in recall.
        pixel_auroc: None where no pixel is normal.
        f1_max: the best F1 of any threshold, over all pixels.
        threshold: the highest that gives it; a pixel is found where its score is at least this.
        pro: area under the curve of the mean overlap of the masks' parts over the false positive rate, up to
            a rate of 0.3, over 0.3; None where no pixel is normal.
        image_auroc: of the pictures' largest scores; None where all pictures are anomalous.
        pictures: with `anomalous_pictures` and `instances`, the connected parts, the size of the evidence.
    """

    pixel_ap: float
    pixel_auroc: float | None
    f1_max: float
    threshold: float
    pro: float | None
    image_auroc: float | None
    pictures: int
    anomalous_pictures: int
    instances: int


def count_picture(score_map: NDArray[np.float32], mask: NDArray[np.uint8]) -> PictureCounts:
    """The counts of one picture.

    Args:
        score_map: [H, W] float32, 0..1, high where it looks anomalous.
        mask: [H, W] uint8 {0, 1}, the annotated anomalies.

    Raises:
        DataError: the two differ in size, or a score is not in 0..1.
    """
    if score_map.shape != mask.shape:
        raise DataError(f"a map of scores has the shape {score_map.shape}, its mask {mask.shape}; make them the same")
    lowest, highest = float(score_map.min()), float(score_map.max())
    if not (lowest >= 0 and highest <= 1):  # so NaN does not pass
        raise DataError(f"a map of scores holds values from {lowest:g} to {highest:g}; they must be in 0..1")
    bins = (score_map * np.float32(BINS)).astype(np.int64)  # exact, as BINS is a power of two
    np.minimum(bins, BINS - 1, out=bins)  # a score of 1 belongs to the last bin
    inside = mask > 0
    found = bins[inside]
    positives = np.bincount(found, minlength=BINS)
    parts, labels = cv2.connectedComponents(mask, connectivity=8)
    part_of = labels[inside]
    part_sizes = np.bincount(part_of, minlength=parts)
    share: NDArray[np.float64] = 1.0 / part_sizes[part_of]  # of each pixel in the mask, of its part
    return PictureCounts(
        positives=positives,
        negatives=np.bincount(bins.ravel(), minlength=BINS) - positives,
        overlap=np.bincount(found, weights=share, minlength=BINS).astype(np.float64),
        parts=parts - 1,
        score=highest,
    )


def pixel_scores(counts: Sequence[PictureCounts]) -> PixelScores:
    """The scores of a test set, from the counts of its pictures.

    Raises:
        DataError: no picture is anomalous.
    """
    instances = sum(each.parts for each in counts)
    if not instances:
        raise DataError(f"none of the {len(counts)} test pictures is anomalous; scores of pixels need at least one")
    # From here on the highest bin comes first: element k belongs to the threshold (BINS - 1 - k) / BINS.
    positives = np.sum([each.positives for each in counts], axis=0)[::-1]
    negatives = np.sum([each.negatives for each in counts], axis=0)[::-1]
    hits, alarms = positives.cumsum(), negatives.cumsum()
    f1 = 2 * hits / (hits + alarms + hits[-1])
    best = int(f1.argmax())
    scores = np.array([each.score for each in counts])
    anomalous = np.array([each.is_anomalous for each in counts])
    has_normal = bool(alarms[-1])
    overlap = np.sum([each.overlap for each in counts], axis=0)[::-1].cumsum() / instances
    return PixelScores(
        pixel_ap=float(resampled_ap(counts, np.ones((1, len(counts))))[0]),
        pixel_auroc=_auroc(positives, negatives) if has_normal else None,
        f1_max=float(f1[best]),
        threshold=(BINS - 1 - best) / BINS,
        pro=_area(alarms / alarms[-1], overlap, PRO_LIMIT) / PRO_LIMIT if has_normal else None,
        image_auroc=_image_auroc(scores[anomalous], scores[~anomalous]) if not anomalous.all() else None,
        pictures=len(counts),
        anomalous_pictures=int(anomalous.sum()),
        instances=instances,
    )


def pixel_ap_of_sums(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float | None:
    """Pixel AP of a test set from sums over its pictures, [BINS] each; None where no pixel is anomalous."""
    if not positives.any():
        return None
    whole = PictureCounts(positives, negatives, overlap=np.zeros(BINS), parts=0, score=0.0)
    return float(resampled_ap([whole], np.ones((1, 1)))[0])


def resampled_ap(
    counts: Sequence[PictureCounts], weights: NDArray[np.float64] | NDArray[np.int64]
) -> NDArray[np.float64]:
    """Pixel AP of many resampled test sets.

    Args:
        counts: of n pictures.
        weights: [R, n], how often each picture is in each of R test sets; at least 0.

    Returns:
        [R], 0..1; NaN for a test set without anomaly.
    """
    # Highest bin first. Precision counts only where recall steps, so bins without positives are needed in sums alone.
    positives = np.stack([each.positives for each in counts])[:, ::-1]
    steps = positives.any(axis=0)
    positives = positives[:, steps].astype(np.float64)
    alarms = np.stack([each.negatives[::-1].cumsum()[steps] for each in counts]).astype(np.float64)
    result = np.full(len(weights), np.nan)
    for start in range(0, len(weights), ROWS):
        rows = weights[start : start + ROWS].astype(np.float64)
        step = rows @ positives  # [rows, bins with positives]
        hits = step.cumsum(axis=1)
        found = hits + rows @ alarms
        step *= np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        total = hits[:, -1:].sum(axis=1)  # of no bins: 0
        np.divide(step.sum(axis=1), total, out=result[start : start + ROWS], where=total > 0)
    return result


def _auroc(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """The chance that a positive lies above a negative, ties half; histograms, highest bin first, none empty."""
    below = negatives.sum() - negatives.cumsum() + negatives / 2
    return float(positives @ below / (float(positives.sum()) * float(negatives.sum())))


def _image_auroc(anomalous: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    """As `_auroc`, of the [n] and [m] scores themselves."""
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, anomalous, "left") + np.searchsorted(ordered, anomalous, "right")
    return float(below.mean() / 2 / len(normal))


def _area(x: NDArray[np.float64], y: NDArray[np.float64], limit: float) -> float:
    """Area under the straight lines from (0, 0) through the points, up to x = `limit`; x never falls and ends at 1."""
    x, y = np.concatenate([[0.0], x]), np.concatenate([[0.0], y])
    width = np.diff(x)
    used = np.minimum(x[1:], limit) - np.minimum(x[:-1], limit)
    share = np.divide(used, width, out=np.zeros_like(used), where=width > 0)  # of each line, the part before the limit
    return float((used * (y[:-1] + share * np.diff(y) / 2)).sum())
