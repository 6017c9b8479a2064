"""How an anomaly looks, and what was changed to make it.

`appearance` takes a picture and its mask alone, so each of its measures is the same statistic for a real picture as for
a generated one. `change` needs what lay behind the anomaly, which is known of generated pictures only. Colour counts as
the mean of its planes, except where it is named. Sums are of float64: the last digits of sums of float32 depend on
where arrays lie in memory, and a process would record other measures of the same picture than another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.samples.contrast import contrast_to
from anomaly_gan.samples.surroundings import RING_PX, surroundings
from anomaly_gan.samples.tensors import HALF_RANGE

Levels = NDArray[np.float32]
Region = NDArray[np.bool_]

ROUNDING = 12**-0.5
"""Deviation of rounding to whole grey levels; it is added to deviations, so that a flat one has a logarithm."""
MIN_RING_PX = 16
"""Fewer pixels say nothing about the surroundings."""
MIN_INNER_PX = 9
"""Pixels of a mask without its outline that a deviation of the Laplacian needs; thin cracks have fewer."""
SIGMAS_PX = (1.0, 2.0, 4.0)
"""Gaussians between which the three bands lie: below 4 px a period, 4 to 8, 8 to 16."""
EDGE_PX = 1.5
"""The outline's own pixels, and one on each side."""
HALF_PERIODS_PX = (1, 2, 4)
VISIBLE_SIGMA_PX = 0.8
CHANCE = 0.1
"""Share of the surroundings' own pixels that lie beyond their 5 and 95 % quantiles."""


@dataclass(frozen=True)
class Appearance:
    """How one anomaly differs from what surrounds it; None = the mask, or its surroundings, are too small to say.

    Attributes:
        area_px: pixels of the mask; no measure of the anomaly, but what the others are sure of grows with it.
        contrast: mean of the mask against that of the surroundings, as a share of the way from there to black
            (negative) or to white, -1..1 (`contrast_to`).
        visible: share of the mask that is darker or brighter than nine tenths of the surroundings, 0..1; where nothing
            is to be seen it is about CHANCE.
        texture: deviation of the Laplacian over the mask without its outline, against that of the surroundings, log2.
        fine, middle, coarse: deviation inside the mask in a band of frequencies (SIGMAS_PX), against that of the
            surroundings, log2.
        edge: mean gradient along the outline against that of the surroundings, log2.
        coherence: correlation of neighbouring pixels of the mask, -1..1; 0 for noise and for what is flat.
        grid: how much more pixels of the mask are like those one period away than like those half a period away, -2..2,
            the largest of periods of 2, 4 and 8 px, at which networks leave grids: a difference of correlations along
            rows and columns, 2 for a checkerboard, about 0 for noise, less for what is smooth.
        red_green, yellow_blue: how much redder than green, and yellower than blue, the mask is than its surroundings,
            grey levels; None for grey pictures.
        ground: of each measure that is against the surroundings: log2 of their own detail, over their mean level.
    """

    area_px: int
    contrast: float | None = None
    visible: float | None = None
    texture: float | None = None
    fine: float | None = None
    middle: float | None = None
    coarse: float | None = None
    edge: float | None = None
    coherence: float | None = None
    grid: float | None = None
    red_green: float | None = None
    yellow_blue: float | None = None
    ground: Mapping[str, float] = field(default_factory=dict)


MEASURES = tuple(each.name for each in fields(Appearance) if each.name not in ("area_px", "ground"))
"""Those of `Appearance`, without the area and the ground."""


@dataclass(frozen=True)
class Change:
    """What was changed to make one anomaly; None = undefined.

    Attributes:
        fill_recall: share of the mask that was changed, 0..1.
        fill_precision: share of the changed pixels that lie in the mask or its feather, 0..1; None where nothing was
            changed.
        behind: correlation, -1..1, of the detail of the changed part of the mask with the detail that lay behind it:
            about 0 is opaque, towards 1 shines through; None where fewer than MIN_RING_PX pixels were changed.
    """

    fill_recall: float
    fill_precision: float | None
    behind: float | None


def appearance(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Appearance:
    """Measure the anomaly of a picture.

    Args:
        image: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}, not empty.
    """
    near = _near(mask, RING_PX + 2)
    mask = np.ascontiguousarray(mask[near])
    planes = image[near].astype(np.float32).reshape(*mask.shape, -1)  # [h, w, 1 or 3]
    levels: Levels = np.ascontiguousarray(planes.mean(axis=2))
    inside, ring = mask > 0, surroundings(mask)
    area_px = int(inside.sum())
    if ring.sum() < MIN_RING_PX:
        return Appearance(area_px)
    mean, around = (planes[region].mean(axis=0, dtype=np.float64) for region in (inside, ring))
    offset = mean - around  # [1 or 3]
    is_colour = len(offset) == 3
    # measure -> detail of the mask and of the surroundings, grey levels
    details = {
        "texture": _laplacians(levels, inside, ring),
        **dict(zip(("fine", "middle", "coarse"), _bands(levels, inside, ring), strict=True)),
        "edge": _slopes(levels, mask, ring),
    }
    detail = levels - smooth_within(levels, inside, SIGMAS_PX[-1])
    return Appearance(
        area_px=area_px,
        contrast=float(contrast_to(*(torch.tensor(each.mean() / HALF_RANGE - 1) for each in (mean, around)))),
        visible=_visible(levels, inside, ring),
        **{name: None if pair is None else _log2(pair[0]) - _log2(pair[1]) for name, pair in details.items()},
        coherence=_likeness_at(detail, inside, 1),
        grid=_grid(detail, inside),
        red_green=float(offset[0] - offset[1]) if is_colour else None,
        yellow_blue=float((offset[0] + offset[1]) / 2 - offset[2]) if is_colour else None,
        ground={name: _log2(pair[1]) - _log2(around.mean()) for name, pair in details.items() if pair is not None},
    )


def change(
    normal: NDArray[np.uint8], image: NDArray[np.uint8], mask: NDArray[np.uint8], feather_px: int, grain: float
) -> Change:
    """Measure what was changed.

    Args:
        normal, image: [H, W] or [H, W, 3] uint8, before and after.
        mask: [H, W] uint8 {0, 1}, not empty.
        feather_px: distance from the mask up to which a change belongs to it.
        grain: grey levels; a mean difference over 3 x 3 px of no more is no change, see `grain_of`.
    """
    before, after = gray(normal), gray(image)
    changed: Region = cv2.blur(np.abs(after - before), (3, 3)) > grain
    inside = mask > 0
    reached = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= feather_px + 1  # 3 x 3 px reach 1
    total = int(changed.sum())
    return Change(
        fill_recall=float(changed[inside].mean()),
        fill_precision=float((changed & reached).sum() / total) if total else None,
        behind=shine_through(before, after, mask, changed & inside),
    )


def shine_through(before: Levels, after: Levels, mask: NDArray[np.uint8], changed: Region) -> float | None:
    """Correlation of the details of two pictures over some pixels of a mask; see `Change.behind`.

    A detail is what is left when a Gaussian of 2 px is taken off, so that light and contrast count for nothing.

    Args:
        before, after: [H, W] grey levels.
        changed: [H, W], a part of the mask.
    """
    near = _near(mask, 0)
    chosen, inside = changed[near], mask[near] > 0
    if chosen.sum() < MIN_RING_PX:
        return None
    first, second = (
        levels[near][chosen] - smooth_within(levels[near], inside, SIGMAS_PX[1])[chosen] for levels in (before, after)
    )
    return _correlation(first - first.mean(dtype=np.float64), second - second.mean(dtype=np.float64))


def grain_of(image: NDArray[np.uint8]) -> float:
    """How far the pixels of a picture are from the median of their 3 x 3 px, a mean in grey levels."""
    levels = gray(image)
    return float(np.abs(levels - cv2.medianBlur(levels, 3)).mean(dtype=np.float64))


def gray(image: NDArray[np.uint8]) -> Levels:
    """[H, W] float32, the mean of the planes."""
    levels: Levels = image.astype(np.float32).reshape(*image.shape[:2], -1).mean(axis=2)
    return levels


def smooth_within(levels: Levels, region: Region, sigma_px: float) -> Levels:
    """A Gaussian over a region alone, [H, W]: pixels outside have no weight, and what it gives there means nothing."""
    weight = region.astype(np.float32)
    total = cv2.GaussianBlur(weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    summed = cv2.GaussianBlur(levels * weight, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    smoothed: Levels = (summed / np.maximum(total, 1e-6)).astype(np.float32)
    return smoothed


def _near(mask: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(mask)
    return slice(max(top - margin, 0), top + height + margin), slice(max(left - margin, 0), left + width + margin)


def _visible(levels: Levels, inside: Region, ring: Region) -> float:
    # grain alone makes no pixel visible
    around = smooth_within(levels, ring, VISIBLE_SIGMA_PX)[ring]
    within = smooth_within(levels, inside, VISIBLE_SIGMA_PX)[inside]
    low, high = np.quantile(around, (CHANCE / 2, 1 - CHANCE / 2))
    return float(((within < low) | (within > high)).mean())


def _laplacians(levels: Levels, inside: Region, ring: Region) -> tuple[float, float] | None:
    laplacian = cv2.Laplacian(levels, cv2.CV_32F)
    inner, around = (
        cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=(0.0,)) > 0
        for region in (inside, ring)
    )
    if min(inner.sum(), around.sum()) < MIN_INNER_PX:
        return None
    return float(laplacian[inner].std(dtype=np.float64)), float(laplacian[around].std(dtype=np.float64))


def _bands(levels: Levels, inside: Region, ring: Region) -> list[tuple[float, float] | None]:
    """Of each band the deviation inside and in the surroundings; None where the mask is too small."""
    bands = zip(SIGMAS_PX, _band_deviations(levels, inside), _band_deviations(levels, ring), strict=True)
    # a mask must hold a square of half a period: 4, 16 or 64 px
    return [(mine, others) if inside.sum() >= (2 * sigma) ** 2 else None for sigma, mine, others in bands]


def _band_deviations(levels: Levels, region: Region) -> list[float]:
    """Deviation over a region in each band; pixels outside take no part, so an edge around the region is in no band."""
    deviations, finer = [], levels
    for sigma in SIGMAS_PX:
        coarser = smooth_within(levels, region, sigma)
        deviations.append(float(np.sqrt(np.mean((finer - coarser)[region] ** 2, dtype=np.float64))))
        finer = coarser
    return deviations


def _slopes(levels: Levels, mask: NDArray[np.uint8], ring: Region) -> tuple[float, float]:
    """Mean gradient along the outline, and in the surroundings."""
    # a 3 x 3 Sobel sums the difference over 2 px with weights 1, 2, 1, so an eighth of it is grey levels per px
    across = cv2.Sobel(levels, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(levels, cv2.CV_32F, 0, 1, scale=1 / 8)
    slope = np.hypot(across, down, dtype=np.float64)  # cv2.magnitude has other last digits for other places in memory
    # a pixel's middle is half a pixel from its border
    depth, distance = (
        cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5 for side in (mask, 1 - mask)
    )
    outline = np.where(mask > 0, depth, distance) <= EDGE_PX
    return float(slope[outline].mean(dtype=np.float64)), float(slope[ring].mean(dtype=np.float64))


def _grid(detail: Levels, inside: Region) -> float | None:
    found = []
    for half in HALF_PERIODS_PX:
        near, far = _likeness_at(detail, inside, half), _likeness_at(detail, inside, 2 * half)
        if near is not None and far is not None:
            found.append(far - near)
    return max(found, default=None)


def _likeness_at(detail: Levels, inside: Region, lag: int) -> float | None:
    """Mean correlation of pixels `lag` px apart, along rows and along columns; None where too few pairs are inside."""
    correlations = []
    for pixels, chosen in ((detail, inside), (detail.T, inside.T)):
        pair = chosen[:, lag:] & chosen[:, :-lag]
        if pair.sum() < MIN_RING_PX:
            return None
        first, second = pixels[:, lag:][pair], pixels[:, :-lag][pair]
        correlations.append(_correlation(first, second))
    return sum(correlations) / len(correlations)


def _correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Of values whose mean is 0; 0 where one of both is 0 everywhere."""
    squares = [np.sum(each**2, dtype=np.float64) for each in (first, second)]
    norm = float(np.sqrt(squares[0] * squares[1]))
    return float(np.sum(first * second, dtype=np.float64)) / norm if norm > 0 else 0.0


def _log2(levels: float) -> float:
    return float(np.log2(levels + ROUNDING))
