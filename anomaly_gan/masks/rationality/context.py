"""What distinguishes places of a picture: border, grain and brightness around a part, never below it."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

MARGIN = 0.02
"""Share of the picture's scale (geometric mean of its sides) around a part that is not looked at, because an anomaly's
soft edge and shadow lie there; the next strip of the same width is the part's surroundings."""

MIN_MARGIN_PX = 3
MIN_SURROUNDINGS_PX = 8
NEAR = 0.03
"""Distances well below this share of the picture's scale count as equal."""

DARK_PERCENTILE = 10
MAX_DARKNESS = 4.0

FEATURES = (
    "edge",  # log of the gap to the nearest border, in units of the picture's scale
    "along",  # the same, going along the grain
    "across",  # the same, going across it
    "outside",  # share of the surroundings beyond the border, 0..1
    "x",  # centre of mass, -1 = left border, 1 = right
    "y",  # -1 = upper border, 1 = lower
    "area",  # log of the share of the picture
    "elongation",  # log of the ratio of the axes, 0 = round
    "alignment",  # elongation times -1..1: across or along the grain, less where the picture has little grain
    "dark",  # 10th percentile of the brightness around, in robust deviations from the picture's median
)
PLACE = frozenset({"edge", "along", "across", "outside", "x", "y", "dark"})
"""Features that say where a part lies; the others say what it is like."""


class PlacedPart(Protocol):
    """A shape in its place: mask [h, w] uint8 {0, 1}, left and top in px of the whole picture, or beyond it."""

    @property
    def mask(self) -> NDArray[np.uint8]: ...
    @property
    def left(self) -> int: ...
    @property
    def top(self) -> int: ...


@dataclass(frozen=True)
class PictureContext:
    """A picture, described once for all parts that may be placed in it; small beside the picture, which it refers to.

    Attributes:
        image: [H, W] or [H, W, 3] RGB, uint8.
        median: of the brightness in grey levels.
        deviation: robust, in grey levels.
        usable: [H, W] bool, False = an annotated anomaly or its margin; None = a normal picture, all is usable.
        grain: unit vector (x, y) along the grain; its sign means nothing.
        coherence: 0 = no direction prevails, 1 = the picture changes in one direction alone.
        scale_px: geometric mean of height and width.
        margin_px: not looked at around a part.
    """

    image: NDArray[np.uint8]
    median: float
    deviation: float
    usable: NDArray[np.bool_] | None
    grain: tuple[float, float]
    coherence: float
    scale_px: float
    margin_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


def describe_picture(image: NDArray[np.uint8], anomalies: NDArray[np.uint8] | None = None) -> PictureContext:
    """Describe a picture as if its anomalies were not there.

    Args:
        image: [H, W] or [H, W, 3] RGB, uint8.
        anomalies: [H, W] uint8 {0, 1}, of all classes: neither they nor the margin around them are looked at, so that
            a real part is seen as one on a normal picture is. None = a normal picture.
    """
    gray = _gray(image)
    scale = float(np.sqrt(gray.size))
    margin = max(MIN_MARGIN_PX, round(MARGIN * scale))
    usable: NDArray[np.bool_] | None = None
    if anomalies is not None and anomalies.any():
        usable = cv2.distanceTransform(1 - anomalies, cv2.DIST_L2, cv2.DIST_MASK_3) > margin
    levels = np.bincount((gray if usable is None else gray[usable]).ravel(), minlength=256)
    median = _median(np.arange(256), levels)
    deviation = 1.4826 * _median(np.abs(np.arange(256) - median), levels) + 1  # a flat picture has none
    return PictureContext(image, median, deviation, usable, *_grain(gray, usable), scale, margin)


def _gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY).astype(np.uint8)


def _median(values: NDArray[np.generic], counts: NDArray[np.intp]) -> float:
    """The median of values, given how often each occurs; 0 where there are none."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(counts[order])
    if not upto[-1]:
        return 0.0
    middle = [order[np.searchsorted(upto, rank, side="right")] for rank in ((upto[-1] - 1) // 2, upto[-1] // 2)]
    return float(values[middle].mean())


def _grain(gray: NDArray[np.uint8], usable: NDArray[np.bool_] | None) -> tuple[tuple[float, float], float]:
    """Direction and coherence of the structure tensor (Bigun and Granlund, 1987) over the usable pixels."""
    slopes = [cv2.Scharr(gray, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))]
    if usable is not None:
        seen = cv2.erode(usable.astype(np.uint8), np.ones((3, 3), np.uint8))  # a slope is taken from all neighbours
        slopes = [slope * seen for slope in slopes]
    x, y = slopes
    xx, yy, xy = (float(cv2.sumElems(cv2.multiply(*pair))[0]) for pair in ((x, x), (y, y), (x, y)))
    angle = (np.arctan2(2 * xy, xx - yy) + np.pi) / 2  # a quarter turn from the strongest slope
    coherence = float(np.hypot(xx - yy, 2 * xy)) / (xx + yy) if xx + yy else 0.0
    return (float(np.cos(angle)), float(np.sin(angle))), coherence


def measure_part(context: PictureContext, part: PlacedPart) -> NDArray[np.float64] | None:
    """[K] float64 in the order of FEATURES, all finite; None where no pixel lies within the picture."""
    height, width = context.shape
    top, left = max(part.top, 0), max(part.left, 0)
    bottom, right = (max(end, 0) for end in (height - part.top, width - part.left))
    cut = np.ascontiguousarray(part.mask[top - part.top : bottom, left - part.left : right])
    if not cut.any():
        return None
    box_left, box_top, box_width, box_height = cv2.boundingRect(cut)
    top, left = top + box_top, left + box_left
    cut = np.ascontiguousarray(cut[box_top : box_top + box_height, box_left : box_left + box_width])
    gap_x = min(left, width - left - box_width)
    gap_y = min(top, height - top - box_height)
    moments = cv2.moments(cut, binaryImage=True)
    area = moments["m00"]
    elongation, alignment = _shape(moments, context.grain)
    outside, dark = _surroundings(context, cut, left, top)
    along, across = (_way(gap_x, gap_y, *axis) for axis in (context.grain, context.grain[::-1]))
    return np.array(
        [
            *(np.log(gap / context.scale_px + NEAR) for gap in (min(gap_x, gap_y), along, across)),
            outside,
            2 * (left + moments["m10"] / area + 0.5) / width - 1,
            2 * (top + moments["m01"] / area + 0.5) / height - 1,
            np.log(area / (height * width)),
            elongation,
            alignment * context.coherence,
            dark,
        ]
    )


def _way(gap_x: int, gap_y: int, x: float, y: float) -> float:
    """The shortest way from a box to the border in the direction (x, y) or against it, in px."""
    return min(gap_x / max(abs(x), 1e-6), gap_y / max(abs(y), 1e-6))


def _shape(moments: dict[str, float], grain: tuple[float, float]) -> tuple[float, float]:
    """Elongation, and elongation times cos 2a, a = the angle between the main axis and the grain."""
    xx, yy, xy = (moments[name] / moments["m00"] for name in ("mu20", "mu02", "mu11"))
    spread = float(np.hypot(xx - yy, 2 * xy))
    mean = xx + yy + 1 / 6  # 1 / 12 on each axis: a pixel is a square, not a point
    elongation = 0.5 * float(np.log((mean + spread) / (mean - spread)))
    x, y = grain
    cosine = ((xx - yy) * (x * x - y * y) + 4 * xy * x * y) / spread if spread else 0.0
    return elongation, elongation * cosine


def _surroundings(context: PictureContext, cut: NDArray[np.uint8], left: int, top: int) -> tuple[float, float]:
    """Share of the surroundings beyond the border, and how dark those within are."""
    height, width = context.shape
    reach = 2 * context.margin_px
    wide = cv2.copyMakeBorder(cut, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=[0])
    distance = cv2.distanceTransform(1 - wide, cv2.DIST_L2, cv2.DIST_MASK_3)
    ring = (distance > context.margin_px) & (distance <= reach)
    y, x = top - reach, left - reach
    inside = ring[max(-y, 0) : height - y, max(-x, 0) : width - x]
    below = np.s_[max(y, 0) : max(y, 0) + inside.shape[0], max(x, 0) : max(x, 0) + inside.shape[1]]
    outside = 1 - np.count_nonzero(inside) / np.count_nonzero(ring)
    looked_at = inside if context.usable is None else inside & context.usable[below]
    around = _gray(context.image[below])[looked_at]
    if around.size < MIN_SURROUNDINGS_PX:
        return outside, 0.0
    dark = (_percentile(around, DARK_PERCENTILE) - context.median) / context.deviation
    return outside, min(max(dark, -MAX_DARKNESS), MAX_DARKNESS)


def _percentile(levels: NDArray[np.uint8], percent: float) -> float:
    """What `np.percentile` gives, which is slow for few values."""
    rank = (levels.size - 1) * percent / 100
    first = int(rank)
    low, high = np.partition(levels, (first, min(first + 1, levels.size - 1)))[[first, min(first + 1, levels.size - 1)]]
    return float(low) + (rank - first) * (float(high) - float(low))
