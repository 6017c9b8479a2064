"""Comparing sets of features: the unbiased squared MMD with KID's cubic kernel, and how far they spread."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError

SUBSETS = 100
MAX_SUBSET = 1000
WHOLE_ROWS = 2000
"""The kernel's values of all pairs of up to so many rows are in memory at once, 32 MB a matrix."""
MIN_KID_ROWS = 4
"""Halves of fewer are no sets of two."""


@dataclass(frozen=True)
class KernelInceptionDistance:
    """KID as the field reports it: over random subsets, without a factor of 1,000.

    Attributes:
        mean: of the kernel distances of the subsets; unbiased, so a little below 0 as often as above for equal sets.
        deviation: standard deviation of the same. Where a subset is half of a set, it is close to the standard error of
            the mean itself; where it is smaller, it is larger than that.
        subset_size: rows of each set that a subset has.
    """

    mean: float
    deviation: float
    subset_size: int


def kid(
    real: NDArray[np.float64],
    generated: NDArray[np.float64],
    *,
    seed: int,
    subsets: int = SUBSETS,
    subset_size: int | None = None,
) -> KernelInceptionDistance:
    """Kernel inception distance (Binkowski et al. 2018): `kernel_distance` of random subsets, drawn without repetition.

    Args:
        real: [M, K] features.
        generated: [N, K] features.
        seed: of the subsets.
        subsets: how many.
        subset_size: rows of each set in a subset, at least 2; None = half of the smaller set, at most MAX_SUBSET.

    Raises:
        DataError: a set is smaller than a subset or than MIN_KID_ROWS, or the sets differ in K.
    """
    smaller = min(len(real), len(generated))
    size = min(smaller // 2, MAX_SUBSET) if subset_size is None else subset_size
    if smaller < max(size, MIN_KID_ROWS):
        raise DataError(f"KID: needs {max(size, MIN_KID_ROWS)} or more of each set, got {len(real)}, {len(generated)}")
    rng = np.random.default_rng(seed)
    drawn = [[rng.choice(len(rows), size, replace=False) for rows in (real, generated)] for _ in range(subsets)]
    if max(len(real), len(generated)) <= WHOLE_ROWS:
        # Every value is computed once: a hundred small products take longer than one, most of all with many threads.
        rr, gg, rg = kernel_values(real, real), kernel_values(generated, generated), kernel_values(real, generated)
        distances = [_distance(rr[np.ix_(i, i)], gg[np.ix_(j, j)], rg[np.ix_(i, j)]) for i, j in drawn]
    else:
        distances = [kernel_distance(real[i], generated[j]) for i, j in drawn]
    return KernelInceptionDistance(float(np.mean(distances)), float(np.std(distances)), size)


@dataclass(frozen=True)
class HalvedDistance:
    """A kernel distance, and the same of random halves of both sets: how it depends on what happens to be in them.

    Attributes:
        value: `kernel_distance` of the whole sets.
        halves: of random halves; those of two distances of equal numbers of groups and one seed have the same groups in
            their halves, so that their differences are paired.
    """

    value: float
    halves: tuple[float, ...]

    @property
    def deviation(self) -> float:
        """Standard error of the value: groups left out at random change a mean of all by as much."""
        return float(np.std(self.halves))

    def noise_against(self, other: "HalvedDistance") -> float:
        """Standard error of the difference from another distance of the same groups."""
        return float(np.std(np.subtract(self.halves, other.halves)))


def halved_distance(
    real: NDArray[np.float64],
    generated: NDArray[np.float64],
    real_groups: Sequence[str],
    generated_groups: Sequence[str],
    *,
    seed: int,
    halvings: int = SUBSETS,
) -> HalvedDistance:
    """`kernel_distance`, and its standard error where rows of one group are nearly equal.

    Args:
        real, generated: [M, K] and [N, K] features.
        real_groups, generated_groups: of each row; rows of a group are in the same half.
        seed: of the halves.
        halvings: how many.

    Raises:
        DataError: fewer than 2 rows of a set, or differing K.
    """
    value = kernel_distance(real, generated)
    rng = np.random.default_rng(seed)
    rr, gg, rg = kernel_values(real, real), kernel_values(generated, generated), kernel_values(real, generated)
    chosen = [[_half(groups, rng) for groups in (real_groups, generated_groups)] for _ in range(halvings)]
    halves = [_distance(rr[np.ix_(i, i)], gg[np.ix_(j, j)], rg[np.ix_(i, j)]) for i, j in chosen]
    return HalvedDistance(value, tuple(halves))


def _half(groups: Sequence[str], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of a random half of the groups, at least 2 rows; where that cannot be, a random half of the rows."""
    names = sorted(set(groups))
    order, odd_one = rng.permutation(len(names)), int(rng.integers(2))  # of an odd number now the smaller half, now not
    taken = {names[i] for i in order[: (len(names) + odd_one) // 2]}
    rows = np.flatnonzero([group in taken for group in groups])
    if len(names) == 1 or len(rows) < 2:
        rows = rng.permutation(len(groups))[: max(len(groups) // 2, 2)]
    return rows


def kernel_distance(real: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """Squared maximum mean discrepancy, k(x, y) = (x.y / K + 1) ** 3 (Binkowski et al. 2018).

    Unbiased, so that it does not grow as sets shrink; it may be a little below 0 for equal distributions.

    Args:
        real: [M, K] features, M >= 2.
        generated: [N, K] features, N >= 2.

    Raises:
        DataError: fewer than 2 rows, or differing K.
    """
    if min(len(real), len(generated)) < 2 or real.shape[1] != generated.shape[1]:
        raise DataError(
            f"kernel distance: needs two sets of 2 or more equal features, got {real.shape}, {generated.shape}"
        )
    return _distance(kernel_values(real, real), kernel_values(generated, generated), kernel_values(real, generated))


def spread(features: NDArray[np.float64]) -> float:
    """Mean distance of two different rows, from [N, K] with N >= 2; near 0 where all are alike."""
    squares = np.sum(features**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0))
    return float(distances.sum() / (len(features) * (len(features) - 1)))


def _distance(
    within_real: NDArray[np.float64], within_generated: NDArray[np.float64], between: NDArray[np.float64]
) -> float:
    """Of the kernel's values: [M, M], [N, N] and [M, N]."""
    m, n = between.shape
    return float(
        (within_real.sum() - np.trace(within_real)) / (m * (m - 1))
        + (within_generated.sum() - np.trace(within_generated)) / (n * (n - 1))
        - 2 * between.mean()
    )


def kernel_values(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """KID's kernel of every pair, [M, K] and [N, K] -> [M, N]."""
    product: NDArray[np.float64] = a @ b.T / a.shape[1] + 1
    return np.power(product, 3)
