"""The Fréchet distance of two sets of features, each seen as a normal distribution."""

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError


def frechet_distance(real: NDArray[np.float64], generated: NDArray[np.float64]) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with means m and unbiased covariances S (Heusel et al. 2017).

    It grows as sets shrink: compare only distances of sets of the same sizes, and of more rows than columns, since the
    covariance of fewer is singular.

    Args:
        real: [M, K] features, M >= 2.
        generated: [N, K] features, N >= 2.

    Returns:
        The squared distance, at least 0. It is called FID where the features are those of Inception.

    Raises:
        DataError: fewer than 2 rows, or differing K.
    """
    if min(len(real), len(generated)) < 2 or real.shape[1] != generated.shape[1]:
        raise DataError(
            f"Fréchet distance: needs two sets of 2 or more equal features, got {real.shape}, {generated.shape}"
        )
    between = np.sum((real.mean(axis=0) - generated.mean(axis=0)) ** 2)
    first, second = _root(real), _root(generated)
    # With S1 = A'A and S2 = B'B the eigenvalues of S1 S2 are the squared singular values of A B': no root of a
    # singular matrix is taken.
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return max(float(between + np.sum(first**2) + np.sum(second**2) - 2 * shared), 0.0)


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """[min(N, K), K] matrix A with A'A = the covariance of [N, K]."""
    centred: NDArray[np.float64] = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if len(centred) <= centred.shape[1]:
        return centred
    return np.linalg.qr(centred).R
