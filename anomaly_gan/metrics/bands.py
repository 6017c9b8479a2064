"""Where the measures of real anomalies lie, and how far another one lies from them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from anomaly_gan.metrics.realism import MEASURES, Appearance
from anomaly_gan.records import Record

TAIL = 0.05
"""A band reaches from this quantile of real anomalies to that of the rest."""
SPREADS = float(norm.ppf(1 - TAIL))
"""Standard deviations from the middle to an end of the band of a normal distribution."""

RESOLUTION = {"contrast": 0.01, "red_green": 1.0, "yellow_blue": 1.0, "visible": 0.05}
"""Least half width of a band, in the measure's unit: a smaller difference cannot be seen."""
LOG_PX = {"texture": 1, "fine": 4, "middle": 16, "coarse": 64, "edge": 9}
CORRELATION_PX = {"coherence": 1, "grid": 2}
"""Pixels that together say one thing, of measures that a small mask is less sure of; see `least_half_width`."""
FOLDS = 100
"""Most parts of the real images of which each is held against the others."""
FAR = 3.0
"""Half widths beyond which a real anomaly counts no more in a correlation, so that an odd one does not make it."""


class Band(Record):
    """Where one measure of real anomalies lies.

    Attributes:
        low, high: the 5 and 95 % quantiles, farther out where few anomalies are known (`band_of`).
        n: the real anomalies that have the measure.
    """

    low: float
    median: float
    high: float
    n: int


def band_of(values: Sequence[float]) -> Band | None:
    """The band of these values; None for fewer than two.

    n values show no quantile beyond that of their smallest one, about (2/3) / (n + 1/3). From there the band is
    extended as the prediction interval of a normal distribution would be: by Student's t of n - 1 degrees of freedom,
    times sqrt(1 + 1/n), over the normal quantile. The factor is 2.0 for 5 values, 1.3 for 10, 1.03 for 50.
    """
    n = len(values)
    if n < 2:
        return None
    shown = max(TAIL, (2 / 3) / (n + 1 / 3))
    low, middle, high = np.quantile(values, (shown, 0.5, 1 - shown), method="median_unbiased")
    factor = float(t.ppf(1 - TAIL, n - 1) * np.sqrt(1 + 1 / n) / norm.ppf(1 - shown))
    return Band(
        low=float(middle - factor * (middle - low)),
        median=float(middle),
        high=float(middle + factor * (high - middle)),
        n=n,
    )


def distance(value: float, band: Band, least: float) -> float:
    """How far a value is from the middle: 0 there, -1 and 1 at the ends of the band.

    Args:
        least: least half width, in the value's unit.
    """
    half = band.median - band.low if value < band.median else band.high - band.median
    return (value - band.median) / max(half, least)


def least_half_width(name: str, area_px: int) -> float:
    """Of the band of a measure: what chance alone does to it, in 90 of 100 masks of this area, or cannot be seen.

    Of n independent pixels a deviation is known to 1 / sqrt(2 n) of itself, and a correlation to 1 / sqrt(n).
    """
    if name in LOG_PX:
        return SPREADS / math.log(2) * math.sqrt(LOG_PX[name] / (2 * area_px))
    if name in CORRELATION_PX:
        return SPREADS * math.sqrt(CORRELATION_PX[name] / area_px)
    return RESOLUTION[name]


@dataclass(frozen=True)
class RealismBand:
    """Where real anomalies of a class lie, measure by measure and all together.

    Attributes:
        bands: of each measure that at least two real anomalies have.
        correlation: [K, K] of the measures' distances, K = len(MEASURES), in their order.
        ground: of each measure that is against the surroundings: that of the middle real anomaly.
    """

    bands: dict[str, Band]
    correlation: NDArray[np.float64]
    ground: dict[str, float]

    def distances(self, one: Appearance) -> dict[str, float]:
        """Of each measure that both have, how far it is from the middle, in half widths of its band (`distance`).

        On rougher ground than that of real anomalies, one of its own stuff has less detail against its surroundings,
        and one that is only darker has as much. Both are real, and what lies between, so the lesser distance counts.
        """
        values, found = asdict(one), {}
        for name, band in self.bands.items():
            if values[name] is not None:
                rougher = one.ground[name] - self.ground[name] if name in one.ground and name in self.ground else 0.0
                either = values[name], values[name] + rougher
                least = least_half_width(name, one.area_px)
                found[name] = _lesser(*(distance(value, band, least) for value in either))
        return found

    def unlikeness(self, one: Appearance) -> float:
        """How unlike real anomalies one is, all measures together; None of them in common = 0.

        The Mahalanobis distance over the square root of the number of measures: about 1 for real anomalies, and large
        also where each measure is in its band but not with the others, as in noise that is as strong as real texture.
        """
        found = self.distances(one)
        if not found:
            return 0.0
        chosen = [MEASURES.index(name) for name in found]
        spreads = SPREADS * np.array(list(found.values()))
        squared = spreads @ np.linalg.solve(self.correlation[np.ix_(chosen, chosen)], spreads)
        return float(np.sqrt(squared / len(found)))


def learn_realism(real: Sequence[Appearance]) -> RealismBand:
    """Bands and correlations of real anomalies.

    The correlations are drawn towards none by K / (n + K), so that few anomalies claim little and the matrix can be
    inverted.
    """
    rows = [asdict(one) for one in real]
    bands = {}
    for name in MEASURES:
        band = band_of([row[name] for row in rows if row[name] is not None])
        if band is not None:
            bands[name] = band
    names = {name for one in real for name in one.ground}
    ground = {name: float(np.median([one.ground[name] for one in real if name in one.ground])) for name in names}
    alone = RealismBand(bands, np.eye(len(MEASURES)), ground)
    far = np.zeros((len(real), len(MEASURES)))  # an undefined measure counts as in the middle
    for i, one in enumerate(real):
        for name, value in alone.distances(one).items():
            far[i, MEASURES.index(name)] = min(max(value, -FAR), FAR)
    products = far.T @ far
    lengths = np.sqrt(np.maximum(np.diag(products), np.finfo(float).tiny))
    drawn = len(MEASURES) / (len(real) + len(MEASURES))
    correlation = (1 - drawn) * products / np.outer(lengths, lengths) + drawn * np.eye(len(MEASURES))
    np.fill_diagonal(correlation, 1.0)
    return RealismBand(bands, correlation, ground)


def _lesser(one: float, other: float) -> float:
    """The one nearer to 0; 0 where this lies between them."""
    return 0.0 if one * other < 0 else min(one, other, key=abs)


def held_against_others(looks: Sequence[Appearance]) -> tuple[list[float], list[float]]:
    """Of each real image, held against the others: its farthest measure, and its unlikeness.

    Empty where the others are too few to have a band. Many images are left out a part at a time.
    """
    folds = min(len(looks), FOLDS)
    distances, unlike = [], []
    for fold in range(folds):
        others = learn_realism([one for number, one in enumerate(looks) if number % folds != fold])
        for one in looks[fold::folds]:
            found = others.distances(one)
            if found:
                distances.append(max(map(abs, found.values())))
                unlike.append(others.unlikeness(one))
    return distances, unlike
