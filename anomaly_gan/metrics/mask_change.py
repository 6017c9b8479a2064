"""What a generator changed, and where: measures of one generated image that need no network weights.

All differences are in grey levels 0..255; of a colour image they are the mean over the channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from statistics import fmean, median
from typing import Any, TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError

ROUNDING_POWER = 1 / 12
"""Power of rounding to whole grey levels; below it a spectrum says nothing about the picture."""

GRID_FREQUENCIES = (1 / 4, 1 / 2)
"""Cycles per pixel at which a transposed convolution of stride 2, and the one before it, leave their grid."""


@dataclass(frozen=True)
class MaskChange:
    """Measures of one generated image against the normal image it was made from; None = undefined.

    Attributes:
        in_mask_change: mean |raw - normal| inside the mask, grey levels; None for an empty mask.
        background_mae_raw: mean |raw - normal| over the background; None where there is no background.
        background_mae_pasted: the same of the image after paste-back.
        background_slope: least-squares slope of raw on normal over the background, 1 = contrast kept;
            None where there is no background or it has one level only.
        grid_excess: log10 of generated over normal power at 1/4 and 1/2 cycle/px, the larger of the two
            (see `grid_excess`); None below 8 px a side.
        mask_hit: average precision, 0..1, of |raw - normal| smoothed 3x3 as a predictor of the mask's
            pixels; chance is the mask's share of the image; None for an empty or a full mask.

    The background is every pixel more than `feather_px` from the mask, counted as the larger of the
    horizontal and the vertical distance: no feather of that width, round or square, reaches it.
    """

    in_mask_change: float | None
    background_mae_raw: float | None
    background_mae_pasted: float | None
    background_slope: float | None
    grid_excess: float | None
    mask_hit: float | None


class MeasureSummary(TypedDict):
    """Mean and median over the `n` images where the measure is defined; None where there is none."""

    mean: float | None
    median: float | None
    n: int


def measure(
    normal: NDArray[np.uint8],
    raw: NDArray[np.uint8],
    pasted: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    feather_px: int,
) -> MaskChange:
    """Measure one generated image.

    Args:
        normal: [H, W] or [H, W, 3], uint8 0..255, the image that was changed.
        raw: as `normal`, the generator's output.
        pasted: as `normal`, `raw` with the normal image pasted back outside the feathered mask.
        mask: [H, W] {0, 1}, 1 = where the anomaly was asked for.
        feather_px: width of the feather around the mask in pixels, 0 = none.

    Raises:
        DataError: the shapes disagree or an image is not uint8.
    """
    _check(normal, raw, pasted, mask)
    inside = mask.astype(bool)
    background = _background(mask, feather_px)
    change = _summed_change(normal, raw)
    planes = normal.size // mask.size
    summed = cv2.boxFilter(change, cv2.CV_32F, (3, 3), normalize=False, borderType=cv2.BORDER_REFLECT_101)
    return MaskChange(
        in_mask_change=_mean(change[inside] / planes),
        background_mae_raw=_mean(change[background] / planes),
        background_mae_pasted=_mean(_summed_change(normal, pasted)[background] / planes),
        background_slope=_slope(normal[background], raw[background]),
        grid_excess=grid_excess(normal, raw),
        mask_hit=average_precision_of_counts(summed.astype(np.int64).ravel(), inside.ravel()),
    )


def summarise(measures: Sequence[MaskChange]) -> dict[str, MeasureSummary]:
    """Mean, median and count of every measure of `MaskChange`, over the images where it is defined."""
    summaries: dict[str, MeasureSummary] = {}
    for name in (field.name for field in fields(MaskChange)):
        values = [value for value in (getattr(each, name) for each in measures) if value is not None]
        summaries[name] = {
            "mean": fmean(values) if values else None,
            "median": median(values) if values else None,
            "n": len(values),
        }
    return summaries


def average_precision(scores: NDArray[Any], positives: NDArray[np.bool_]) -> float | None:
    """Area under the precision-recall steps, sum of (R_n - R_n-1) P_n over the distinct scores.

    Equal scores are one step, so their order does not matter.

    Args:
        scores: [n], higher = more likely positive.
        positives: [n] bool.

    Returns:
        0..1; None where all or none of the entries are positive, since any scores would then do.
    """
    total = int(positives.sum())
    if total in (0, len(positives)):
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positives[order])
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    precision = hits[ends] / (ends + 1)
    recall_steps = np.diff(hits[ends], prepend=0) / total
    return float(np.sum(recall_steps * precision))


def average_precision_of_counts(scores: NDArray[np.int64], positives: NDArray[np.bool_]) -> float | None:
    """`average_precision` of whole scores from 0 that are not many, without sorting."""
    total = int(positives.sum())
    if total in (0, len(positives)):
        return None
    every, hits = (np.bincount(each, minlength=int(scores.max()) + 1)[::-1] for each in (scores, scores[positives]))
    found = np.cumsum(hits)
    precision = found / np.maximum(np.cumsum(every), 1)
    return float(np.sum(hits / total * precision))


def grid_excess(normal: NDArray[np.uint8], generated: NDArray[np.uint8]) -> float | None:
    """How much more grid a generated image has than its normal image, in decades of power.

    Of each image (mean over channels) the mean is taken off and a Hann window laid over; P(f) is the mean
    of |FFT|^2 / sum(window^2) over the bins within one of (f, 0), (0, f), (f, f) and (f, -f), so that white
    noise of variance s^2 has P = s^2. The result is the larger of
    log10((P_generated(f) + 1/12) / (P_normal(f) + 1/12)) over f = 1/4 and f = 1/2 cycle/px, where 1/12 is
    the power of rounding to grey levels. 0 = no more than the normal image has.

    Returns:
        Decades, negative where the generated image is smoother; None for an image below 8 px a side.
    """
    if min(normal.shape[:2]) < 8:
        return None
    powers = zip(_grid_power(normal), _grid_power(generated), strict=True)
    return max(float(np.log10((after + ROUNDING_POWER) / (before + ROUNDING_POWER))) for before, after in powers)


def _grid_power(image: NDArray[np.uint8]) -> list[float]:
    grey = image.astype(np.float32).reshape(*image.shape[:2], -1).mean(axis=2)
    height, width = grey.shape
    window = _hann(height, width)
    transformed = cv2.dft((grey - grey.mean()) * window, flags=cv2.DFT_COMPLEX_OUTPUT)
    power_of_window = float(np.sum(window**2))
    powers = []
    for frequency in GRID_FREQUENCIES:
        spectrum = np.sum(transformed[_grid_bins(frequency, height, width)] ** 2, axis=1)
        powers.append(float(spectrum.mean(dtype=np.float64)) / power_of_window)
    return powers


@lru_cache
def _hann(height: int, width: int) -> NDArray[np.float32]:
    return np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)


@lru_cache
def _grid_bins(frequency: float, height: int, width: int) -> tuple[list[int], list[int]]:
    """Rows and columns of the bins around a grid's frequency."""
    down, across = round(frequency * height), round(frequency * width)
    points = ((0, across), (down, 0), (down, across), (down, -across))
    bins = {
        ((row + i) % height, (column + j) % width) for row, column in points for i in (-1, 0, 1) for j in (-1, 0, 1)
    }
    return [row for row, _ in sorted(bins)], [column for _, column in sorted(bins)]


def _background(mask: NDArray[np.uint8], feather_px: int) -> NDArray[np.bool_]:
    square = np.ones((2 * feather_px + 1, 2 * feather_px + 1), np.uint8)
    reached: NDArray[np.bool_] = cv2.dilate(mask, square).astype(bool)
    return ~reached


def _summed_change(normal: NDArray[np.uint8], generated: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W] |generated - normal| summed over channels: whole numbers, so that equal changes tie exactly."""
    change = np.abs(generated.astype(np.int16) - normal)
    summed: NDArray[np.float32] = change.reshape(*change.shape[:2], -1).sum(axis=2).astype(np.float32)
    return summed


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None


def _slope(normal: NDArray[np.uint8], raw: NDArray[np.uint8]) -> float | None:
    if normal.size == 0 or normal.min() == normal.max():
        return None
    centred = normal.astype(np.float64) - normal.mean()
    return float(np.sum(centred * raw) / np.sum(centred**2))


def _check(normal: NDArray[Any], raw: NDArray[Any], pasted: NDArray[Any], mask: NDArray[Any]) -> None:
    for name, image in (("normal", normal), ("raw", raw), ("pasted", pasted)):
        if image.shape != normal.shape or image.dtype != np.uint8:
            raise DataError(f"{name}: expected uint8 of shape {normal.shape}, got {image.dtype} of shape {image.shape}")
    if mask.shape != normal.shape[:2]:
        raise DataError(f"mask: expected shape {normal.shape[:2]}, got {mask.shape}")
