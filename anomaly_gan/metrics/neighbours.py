"""How two sets of features lie among each other: precision and recall, density and coverage.

The ball of a row reaches to its k-th nearest neighbour in its own set, and holds what is no farther than that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError

BLOCK = 1024
"""Rows whose distances are in memory at once."""

ROUNDING = 1e-10
"""Share of the squared norms below which a squared distance is that of equal rows, as of a picture and its copy."""

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class PrecisionRecall:
    """Kynkäänniemi et al. 2019, 0..1.

    Attributes:
        precision: share of generated rows in the ball of any real one: generated pictures look real.
        recall: share of real rows in the ball of any generated one: real pictures could have been generated.
    """

    precision: float
    recall: float


@dataclass(frozen=True)
class DensityCoverage:
    """Naeem et al. 2020; a single outlier among the real ones with its wide ball weighs little.

    Attributes:
        density: mean number of real balls that a generated row is in, over k: about 1 for equal sets, may be more.
        coverage: share of real rows with a generated one in their ball, 0..1.
    """

    density: float
    coverage: float


def precision_recall(real: Rows, generated: Rows, k: int = 3) -> PrecisionRecall:
    """Precision and recall from [M, K] and [N, K]; recall falls where there are more generated rows than real ones.

    Raises:
        DataError: differing K, or a set that has no k-th neighbour.
    """
    _check(real, generated, k)
    return PrecisionRecall(
        precision=float(_hits(generated, real, _radii(real, k)).any.mean()),
        recall=float(_hits(real, generated, _radii(generated, k)).any.mean()),
    )


def density_coverage(real: Rows, generated: Rows, k: int = 5) -> DensityCoverage:
    """Density and coverage from [M, K] and [N, K]; coverage rises where there are more generated rows than real ones.

    Raises:
        DataError: differing K, or a set that has no k-th neighbour.
    """
    _check(real, generated, k)
    hits = _hits(generated, real, _radii(real, k))
    return DensityCoverage(density=float(hits.count.mean() / k), coverage=float(hits.balls.mean()))


@dataclass(frozen=True)
class _Hits:
    """Which rows are in which balls.

    Attributes:
        count: [N] balls that each row is in.
        balls: [M] whether a ball has a row in it.
    """

    count: NDArray[np.int64]
    balls: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        return self.count > 0


def _hits(rows: Rows, centres: Rows, radii: NDArray[np.float64]) -> _Hits:
    counts = []
    balls = np.zeros(len(centres), np.bool_)
    for start in range(0, len(rows), BLOCK):
        inside = _squares(rows[start : start + BLOCK], centres) <= radii
        counts.append(inside.sum(axis=1))
        balls |= inside.any(axis=0)
    return _Hits(np.concatenate(counts), balls)


def _radii(rows: Rows, k: int) -> NDArray[np.float64]:
    """[N] squared distance of each row to its k-th nearest neighbour, itself not counted."""
    radii = []
    for start in range(0, len(rows), BLOCK):
        squares = _squares(rows[start : start + BLOCK], rows)
        own = np.arange(len(squares))
        squares[own, start + own] = np.inf
        radii.append(np.partition(squares, k - 1, axis=1)[:, k - 1])
    return np.concatenate(radii)


def _squares(a: Rows, b: Rows) -> NDArray[np.float64]:
    """[len(a), len(b)] squared distances."""
    norms: NDArray[np.float64] = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)
    squares = norms - 2 * a @ b.T
    return np.where(squares > ROUNDING * norms, squares, 0)


def _check(real: Rows, generated: Rows, k: int) -> None:
    if min(len(real), len(generated)) <= k or real.shape[1] != generated.shape[1]:
        raise DataError(
            f"neighbours: needs two sets of more than {k} equal features, got {real.shape}, {generated.shape}"
        )
