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
class NeighbourScores:
    """Scores of generated rows among real ones.

    Attributes:
        precision: share of generated rows in the ball of any real one, 0..1: generated pictures look real
            (Kynkäänniemi et al. 2019).
        recall: share of real rows in the ball of any generated one, 0..1: real pictures could have been generated.
        density: mean number of real balls that a generated row is in, over k: about 1 for equal sets, may be more
            (Naeem et al. 2020). A single outlier among the real rows with its wide ball weighs little.
        coverage: share of real rows with a generated one in their ball, 0..1.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_scores(real: Rows, generated: Rows, precision_k: int = 3, density_k: int = 5) -> NeighbourScores:
    """Precision, recall, density and coverage from [M, K] and [N, K].

    They depend on the sizes of the sets: with more generated rows recall falls and coverage rises. Rows that are nearly
    equal, such as pictures of one object, make balls small: then few rows are in any.

    Args:
        precision_k: which neighbour the balls of precision and recall reach to.
        density_k: the same for density and coverage.

    Raises:
        DataError: differing K, or a set that has no such neighbour.
    """
    k = max(precision_k, density_k)
    if min(len(real), len(generated)) <= k or real.shape[1] != generated.shape[1]:
        raise DataError(
            f"neighbours: needs two sets of more than {k} equal features, got {real.shape}, {generated.shape}"
        )
    precision_radii, density_radii = _radii(real, (precision_k, density_k))
    (recall_radii,) = _radii(generated, (precision_k,))
    real_like, density = 0, 0
    recalled, covered = np.zeros(len(real), np.bool_), np.zeros(len(real), np.bool_)
    for start in range(0, len(generated), BLOCK):
        squares = _squares(generated[start : start + BLOCK], real)
        real_like += int(np.count_nonzero((squares <= precision_radii).any(axis=1)))
        recalled |= (squares <= recall_radii[start : start + BLOCK, None]).any(axis=0)
        in_ball = squares <= density_radii
        density += int(np.count_nonzero(in_ball))
        covered |= in_ball.any(axis=0)
    return NeighbourScores(
        precision=real_like / len(generated),
        recall=float(recalled.mean()),
        density=density / (density_k * len(generated)),
        coverage=float(covered.mean()),
    )


def _radii(rows: Rows, ks: tuple[int, ...]) -> NDArray[np.float64]:
    """[len(ks), N] squared distance of each row to its k-th nearest neighbour, itself not counted."""
    places = [k - 1 for k in ks]
    radii = []
    for start in range(0, len(rows), BLOCK):
        squares = _squares(rows[start : start + BLOCK], rows)
        own = np.arange(len(squares))
        squares[own, start + own] = np.inf
        radii.append(np.partition(squares, places, axis=1)[:, places])
    return np.concatenate(radii).T


def _squares(a: Rows, b: Rows) -> NDArray[np.float64]:
    """[len(a), len(b)] squared distances."""
    norms: NDArray[np.float64] = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)
    squares = norms - 2 * a @ b.T
    return np.where(squares > ROUNDING * norms, squares, 0)
