"""Logistic regression with weighted rows, and the rank statistic that judges it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_STEPS = 100
TOLERANCE = 1e-8


def fit_logistic(features: Floats, is_real: NDArray[np.bool_], weights: Floats, penalty: float) -> tuple[float, Floats]:
    """Minimise the weighted log loss + penalty / 2 * |coefficients|**2 by Newton's method.

    Args:
        features: [N, K].
        is_real: [N].
        weights: [N], of each row.
        penalty: above 0; the bias is not penalised.

    Returns:
        Bias and [K] coefficients.
    """
    design = np.column_stack([np.ones(len(features)), features])
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 1e-6
    solution = np.zeros(design.shape[1])
    for _ in range(MAX_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ solution, -30, 30)))
        gradient = design.T @ (weights * (is_real - chance)) - ridge * solution
        curvature = (design * (weights * chance * (1 - chance))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        solution += step / max(1.0, float(np.abs(step).max()))  # at most 1: far from the solution Newton overshoots
        if np.abs(step).max() < TOLERANCE:
            break
    return float(solution[0]), solution[1:]


def rank_auc(real: Sequence[float], random: Sequence[float]) -> float:
    """Share of pairs in which the real value is the higher one; equal ones count half."""
    ordered = np.sort(random)
    below, upto = (np.searchsorted(ordered, real, side="left"), np.searchsorted(ordered, real, side="right"))
    return float(np.mean(below + upto) / 2 / len(random))
