"""Fréchet distance: against torchmetrics, a closed form, and the root of a matrix."""

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from torchmetrics.image.fid import FrechetInceptionDistance

from anomaly_gan.metrics.frechet import frechet_distance
from infra.errors import DataError


class Rows(torch.nn.Module):
    """A network for torchmetrics that sees rows of features as they are."""

    num_features = 6

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.double()


def drawn(count: int, seed: int, shift: float = 0.0, width: int = 6) -> NDArray[np.float64]:
    """Correlated features."""
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, (count, width)) @ rng.normal(0, 1, (width, width))


@pytest.mark.parametrize(("real", "generated"), [(50, 80), (50, 5), (3, 50)])
def test_the_distance_is_that_of_torchmetrics(real: int, generated: int) -> None:
    """Also of fewer rows than columns."""
    metric = FrechetInceptionDistance(feature=Rows()).set_dtype(torch.float64)
    first, second = drawn(real, 0), drawn(generated, 1, 0.5)
    metric.update(torch.from_numpy(first), real=True)
    metric.update(torch.from_numpy(second), real=False)
    assert frechet_distance(first, second) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_the_distance_is_its_formula() -> None:
    first, second = drawn(90, 0), drawn(70, 1, 0.5)
    s1, s2 = np.cov(first.T), np.cov(second.T)
    root = scipy.linalg.sqrtm(s1 @ s2).real
    wanted = np.sum((first.mean(axis=0) - second.mean(axis=0)) ** 2) + np.trace(s1 + s2 - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(wanted, rel=1e-9)


def test_a_shift_of_one_set_is_its_squared_length() -> None:
    rows = drawn(20, 0)
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(rows, rows + np.array([3, 4, 0, 0, 0, 0])) == pytest.approx(25)


@pytest.mark.parametrize("shape", [(1, 6), (4, 5)])
def test_sets_that_cannot_be_compared_are_refused_with_their_shapes(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=rf"Fréchet distance: .* got \(4, 6\), \({shape[0]}, {shape[1]}\)"):
        frechet_distance(drawn(4, 0), np.zeros(shape))
