"""Comparing sets of features: the unbiased squared MMD with KID's cubic kernel, and how far they spread."""

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError


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
    within_real = _kernel(real, real)
    within_generated = _kernel(generated, generated)
    m, n = len(real), len(generated)
    return float(
        (within_real.sum() - np.trace(within_real)) / (m * (m - 1))
        + (within_generated.sum() - np.trace(within_generated)) / (n * (n - 1))
        - 2 * _kernel(real, generated).mean()
    )


def spread(features: NDArray[np.float64]) -> float:
    """Mean distance of two different rows, from [N, K] with N >= 2; near 0 where all are alike."""
    squares = np.sum(features**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0))
    return float(distances.sum() / (len(features) * (len(features) - 1)))


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = a @ b.T / a.shape[1] + 1
    return np.power(product, 3)
