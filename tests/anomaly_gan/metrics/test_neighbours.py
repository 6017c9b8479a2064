"""Precision, recall, density and coverage: against loops over every pair, and cases counted by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics import neighbours
from anomaly_gan.metrics.neighbours import NeighbourScores, neighbour_scores
from infra.errors import DataError

Rows = NDArray[np.float64]


def drawn(count: int, seed: int, shift: float = 0.0) -> Rows:
    return np.random.default_rng(seed).normal(shift, 1, (count, 4))


def distance(x: Rows, y: Rows) -> float:
    return float(np.linalg.norm(x - y))


def radius(rows: Rows, i: int, k: int) -> float:
    return sorted(distance(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1]


def balls_around(point: Rows, rows: Rows, k: int) -> int:
    return sum(distance(point, rows[i]) <= radius(rows, i, k) for i in range(len(rows)))


@pytest.mark.parametrize(("real", "generated", "k"), [(12, 15, 3), (15, 6, 1), (6, 20, 2)])
@pytest.mark.parametrize("block", [4, 1024])
def test_scores_are_those_of_loops_over_all_pairs(
    real: int, generated: int, k: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = drawn(real, 0), drawn(generated, 1, 0.7)
    found = neighbour_scores(x, y, k, k + 1)
    assert found.precision == pytest.approx(np.mean([balls_around(point, x, k) > 0 for point in y]))
    assert found.recall == pytest.approx(np.mean([balls_around(point, y, k) > 0 for point in x]))
    assert found.density == pytest.approx(sum(balls_around(point, x, k + 1) for point in y) / ((k + 1) * generated))
    covered = [any(distance(x[i], point) <= radius(x, i, k + 1) for point in y) for i in range(real)]
    assert found.coverage == pytest.approx(np.mean(covered))
    assert 0 < found.precision < 1 or 0 < found.recall < 1


def test_a_case_counted_by_hand() -> None:
    """Balls of k = 1 on a line: [-1, 1], [0, 2], [-6, 0] are real; [-.5, 1.5], [.5, 2.5], [1.5, 16.5] generated."""
    real, generated = np.array([[0.0], [1.0], [-3.0]]), np.array([[0.5], [1.5], [9.0]])
    expected = NeighbourScores(precision=2 / 3, recall=2 / 3, density=(2 + 1 + 0) / 3, coverage=2 / 3)
    assert neighbour_scores(real, generated, 1, 1) == expected


def test_a_set_and_itself_are_alike_in_everything() -> None:
    rows = drawn(30, 0) + 100
    # Density: the rows around each are its k neighbours and itself, over k = 5.
    assert neighbour_scores(rows, rows) == NeighbourScores(precision=1, recall=1, density=1.2, coverage=1)


def test_few_kinds_of_good_pictures_have_precision_and_no_recall() -> None:
    real = np.concatenate([drawn(30, 0), drawn(30, 1, 40)])
    one_kind = drawn(60, 2)
    found = neighbour_scores(real, one_kind)
    assert found.precision > 0.7 and found.recall <= 0.5
    assert found.density > 0.7 and found.coverage <= 0.5


def test_copies_of_repeated_rows_are_in_their_balls_of_no_size() -> None:
    """The features of a copy differ by float32's rounding."""
    real = np.repeat(drawn(3, 0), 4, axis=0)
    copies = real[::4].repeat(2, axis=0) * (1 + 1e-7)
    assert neighbour_scores(real, copies, 1, 1) == NeighbourScores(precision=1, recall=1, density=4, coverage=1)


@pytest.mark.parametrize("shape", [(3, 4), (8, 5)])
def test_sets_that_cannot_be_compared_are_refused_with_their_shapes(shape: tuple[int, int]) -> None:
    message = rf"neighbours: needs two sets of more than 3 equal features, got \(8, 4\), \({shape[0]}, {shape[1]}\)"
    for ks in ((3, 1), (1, 3)):
        with pytest.raises(DataError, match=message):
            neighbour_scores(drawn(8, 0), np.zeros(shape), *ks)
