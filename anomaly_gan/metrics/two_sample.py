"""Do two sets differ at all? The kernel two-sample test (Gretton et al., JMLR 2012) with KID's kernel.

A kernel distance says how far two sets are apart, and the test how often chance alone would make it so large: the rows'
labels are permuted, so that it needs no large sets.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.metrics.kernel import kernel_values
from anomaly_gan.records import Record
from infra.errors import DataError

LEAST_UNITS = 4
"""Of each set: 4 and 4 rows have 70 ways to be dealt out, fewer cannot have a small p-value."""

MOST_UNITS = 250
PERMUTATIONS = 499
DRAWS = 5


class TwoSample(Record):
    """The outcome of the test.

    Attributes:
        p_value: how often sets that do not differ would be so far apart; twice the median of `DRAWS` choices of rows, a
            bound that holds however these overlap (Meinshausen, Meier and Buhlmann, JASA 2009).
        units: rows of each set that were compared at once, no two of one group.
    """

    p_value: float
    units: tuple[int, int]


def two_sample_test(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    first_groups: Sequence[str],
    second_groups: Sequence[str],
    *,
    seed: int,
) -> TwoSample | None:
    """Test whether two sets are of one distribution; None where one has fewer than `LEAST_UNITS` groups.

    Rows of one group, such as pictures of one part, are not independent, so only one of each group is drawn.

    Args:
        first, second: [M, K] and [N, K] features.
        first_groups, second_groups: of each row.
        seed: of the choice of rows and of the permutations.

    Raises:
        DataError: the sets differ in K, or a row has no group.
    """
    groups = (list(first_groups), list(second_groups))
    if first.shape[1] != second.shape[1] or (len(first), len(second)) != (len(groups[0]), len(groups[1])):
        raise DataError(
            f"two-sample test: needs equal features and a group of each row, got {first.shape} with "
            f"{len(groups[0])} and {second.shape} with {len(groups[1])} groups"
        )
    units = (min(len(set(groups[0])), MOST_UNITS), min(len(set(groups[1])), MOST_UNITS))
    if min(units) < LEAST_UNITS:
        return None
    rng = np.random.default_rng(seed)
    p_values = []
    for _ in range(DRAWS):
        chosen = [_one_of_each(names, count, rng) for names, count in zip(groups, units, strict=True)]
        p_values.append(_p_value(first[chosen[0]], second[chosen[1]], rng))
    return TwoSample(p_value=float(min(2 * np.median(p_values), 1)), units=units)


def _one_of_each(groups: Sequence[str], units: int, rng: np.random.Generator) -> list[int]:
    """A row each of so many groups."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    members = list(rows.values())
    return [int(rng.choice(members[i])) for i in rng.choice(len(members), units, replace=False)]


def _p_value(first: NDArray[np.float64], second: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Of the unbiased kernel distance, against those of permuted labels."""
    rows = np.concatenate([first, second])
    m, n = len(first), len(second)
    values = kernel_values(rows, rows)
    np.fill_diagonal(values, 0)
    true = np.arange(m + n) < m
    # [m + n, 1 + PERMUTATIONS]: 1 where a row counts as the first set's, the true labels in column 0
    labels = np.stack([true, *(rng.permutation(true) for _ in range(PERMUTATIONS))], axis=1).astype(np.float64)
    to_first = values @ labels
    within_first = (labels * to_first).sum(axis=0)
    between = ((1 - labels) * to_first).sum(axis=0)
    within_second = values.sum() - within_first - 2 * between
    found = within_first / (m * (m - 1)) + within_second / (n * (n - 1)) - 2 * between / (m * n)
    # Permutations that give the same sets may differ by rounding.
    as_large = found[1:] >= found[0] - 1e-9 * abs(values).max()
    return float((1 + np.count_nonzero(as_large)) / (1 + PERMUTATIONS))
