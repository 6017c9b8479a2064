"""Kernel distance: against the double sum of its definition, and its bias."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics.kernel import kernel_distance, spread
from infra.errors import DataError


def drawn(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1, (count, 5))


def test_kernel_distance_is_the_unbiased_double_sum_of_the_cubic_kernel() -> None:
    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float((x @ y / 5 + 1) ** 3)

    real, fake = drawn(4, 0), drawn(3, 1)
    wanted = (
        sum(kernel(real[i], real[j]) for i in range(4) for j in range(4) if i != j) / 12
        + sum(kernel(fake[i], fake[j]) for i in range(3) for j in range(3) if i != j) / 6
        - 2 * sum(kernel(x, y) for x in real for y in fake) / 12
    )
    assert kernel_distance(real, fake) == pytest.approx(wanted)


def test_kernel_distance_does_not_grow_as_sets_of_one_distribution_shrink() -> None:
    distances = [kernel_distance(drawn(8, 2 * seed), drawn(8, 2 * seed + 1)) for seed in range(300)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(len(distances))


def test_kernel_distance_grows_with_the_shift_and_not_with_the_order_of_the_sets() -> None:
    real = drawn(50, 0)
    near, far = (kernel_distance(real, drawn(50, 1, shift)) for shift in (0.5, 1.5))
    assert 0 < near < far
    assert kernel_distance(drawn(50, 1, 0.5), real) == pytest.approx(near)


@pytest.mark.parametrize("shape", [(1, 5), (4, 6), (0, 5)])
def test_sets_that_cannot_be_compared_are_refused_with_their_shapes(shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=rf"kernel distance: .* got \(4, 5\), \({shape[0]}, {shape[1]}\)"):
        kernel_distance(drawn(4, 0), np.zeros(shape))
    with pytest.raises(DataError, match="kernel distance"):
        kernel_distance(np.zeros(shape), drawn(4, 0))


def test_spread_is_the_mean_distance_of_two_rows() -> None:
    rows = drawn(4, 0)
    wanted = np.mean([np.linalg.norm(rows[i] - rows[j]) for i in range(4) for j in range(4) if i != j])
    assert spread(rows) == pytest.approx(wanted)
    assert spread(np.repeat(rows[:1], 3, axis=0)) == pytest.approx(0, abs=1e-6)
