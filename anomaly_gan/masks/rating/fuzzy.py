"""Triangular fuzzy numbers: how experts' ratings are written, averaged, defuzzified and compared.

A rating is a number s in [0, 1], taken as (s, s, s), one of the five terms of `TERMS`, or a triangular number.
"""

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from infra.errors import DataError

DECIMALS = 9
"""Decimals of every result, so that ratings of equal mean tie whatever the order of the sum."""


class Triangle(NamedTuple):
    """Membership rises from `low` to 1 at `mode` and falls to `high`; 0 <= low <= mode <= high <= 1."""

    low: float
    mode: float
    high: float


TERMS: Mapping[str, Triangle] = MappingProxyType(
    {
        "very low": Triangle(0, 0, 0.25),
        "low": Triangle(0, 0.25, 0.5),
        "medium": Triangle(0.25, 0.5, 0.75),
        "high": Triangle(0.5, 0.75, 1),
        "very high": Triangle(0.75, 1, 1),
    }
)


def to_triangle(text: str) -> Triangle:
    """Read a rating: `0.7`, `very high` (also `Very-High`), `0.5/0.7/0.9`, `0.5;0.7;0.9` or `(0.5, 0.7, 0.9)`.

    Raises:
        DataError: none of these, a number outside [0, 1], or a triangular number out of order.
    """
    term = TERMS.get(" ".join(re.split(r"[\s_-]+", text.strip().casefold())))
    if term:
        return term
    bare = re.fullmatch(r"\s*\((.*)\)\s*", text)
    try:
        numbers = [float(part) for part in re.split("[/;,]", bare[1] if bare else text)]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise DataError(
            f"{text!r} is no rating; write a number from 0 to 1 such as 0.7, one of {', '.join(TERMS)},"
            " or a triangular number such as 0.5/0.7/0.9"
        )
    if not all(0 <= number <= 1 for number in numbers):
        raise DataError(f"{text!r} is not within 0 and 1; rate from 0 (worst) to 1 (best)")
    if numbers != sorted(numbers):
        raise DataError(f"{text!r} is out of order; write a triangular number as lowest/likeliest/highest")
    return Triangle(*(numbers if len(numbers) == 3 else numbers * 3))


def weighted_mean(ratings: Sequence[Triangle], weights: Sequence[float]) -> Triangle:
    """Mean of each component; the weights, all above 0, count by their proportions."""
    return Triangle(*(_mean(component, weights) for component in zip(*ratings, strict=True)))


def centroid(triangle: Triangle) -> float:
    """Centre of gravity of the membership, in [0, 1]."""
    return round(math.fsum(triangle) / 3, DECIMALS)


def vertex_distance(first: Triangle, second: Triangle) -> float:
    """Distance of two triangular numbers by their three vertices, in [0, 1] (Chen 2000, Fuzzy Sets and Systems 114)."""
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / 3)


def agreement(ratings: Sequence[Triangle], weights: Sequence[float]) -> float:
    """1 - weighted mean distance of the ratings from their weighted mean: 1 = all are equal, as a single one is."""
    mean = weighted_mean(ratings, weights)
    return round(1 - _mean([vertex_distance(rating, mean) for rating in ratings], weights), DECIMALS)


def kendall_w(scores: Sequence[Sequence[float]]) -> float | None:
    """Coefficient of concordance W, with ties corrected (Kendall and Babington Smith 1939).

    Args:
        scores: [experts, masks].

    Returns:
        0 = no concordance of the rankings, 1 = the same ranking; None for fewer than 2 experts or 2 masks, or where
        no expert rates any two masks differently.
    """
    from scipy.stats import rankdata  # here: a second that reading a pool need not take

    experts, masks = len(scores), min(map(len, scores), default=0)
    if experts < 2 or masks < 2:
        return None
    ranks = rankdata(scores, axis=1)
    spread = float(((ranks.sum(axis=0) - experts * (masks + 1) / 2) ** 2).sum())
    ties = sum(int((counts**3 - counts).sum()) for counts in (np.unique(row, return_counts=True)[1] for row in ranks))
    widest = experts**2 * (masks**3 - masks) - experts * ties
    return 12 * spread / widest if widest else None


def _mean(numbers: Sequence[float], weights: Sequence[float]) -> float:
    largest = max(weights)
    shares = [weight / largest for weight in weights]
    return math.fsum(share * number for share, number in zip(shares, numbers, strict=True)) / math.fsum(shares)
