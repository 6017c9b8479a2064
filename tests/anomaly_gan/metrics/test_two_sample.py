"""The two-sample test: rarely wrong about equal sets, right about different ones, not fooled by copies."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics.two_sample import TwoSample, two_sample_test
from infra.errors import DataError

K = 16


def rows(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1, (count, K))


def own(count: int) -> list[str]:
    return [f"g{i}" for i in range(count)]


def outcome(first: NDArray[np.float64], second: NDArray[np.float64], *, seed: int) -> TwoSample:
    found = two_sample_test(first, second, own(len(first)), own(len(second)), seed=seed)
    assert found is not None
    return found


def test_equal_sets_are_rarely_told_apart() -> None:
    p_values = [outcome(rows(20, seed), rows(30, 1000 + seed), seed=0).p_value for seed in range(40)]
    assert np.mean([p <= 0.05 for p in p_values]) <= 0.05


def test_different_sets_are_told_apart() -> None:
    found = outcome(rows(20, 0), rows(30, 1, shift=0.8), seed=0)
    assert found == TwoSample(p_value=2 / 500, units=(20, 30))


def test_copies_of_few_groups_do_not_make_evidence() -> None:
    copied = np.repeat(rows(4, 0), 25, axis=0)
    groups = [f"g{i // 25}" for i in range(100)]
    found = two_sample_test(copied, rows(60, 1), groups, own(60), seed=0)
    assert found is not None and found.units == (4, 60) and found.p_value > 0.05
    assert outcome(copied, rows(60, 1), seed=0).p_value < 0.05  # what would be said if each copy counted


def test_the_seed_decides() -> None:
    first, second = rows(10, 0), rows(12, 1, shift=0.2)
    assert outcome(first, second, seed=3) == outcome(first, second, seed=3)


def test_too_few_groups_have_no_test() -> None:
    assert two_sample_test(rows(9, 0), rows(9, 1), ["a", "b", "c"] * 3, own(9), seed=0) is None


def test_other_features_and_rows_without_a_group_are_refused() -> None:
    with pytest.raises(DataError, match="equal features"):
        two_sample_test(rows(9, 0), rows(9, 1)[:, :3], own(9), own(9), seed=0)
    with pytest.raises(DataError, match=r"with 8 and .* with 9 groups"):
        two_sample_test(rows(9, 0), rows(9, 1), own(8), own(9), seed=0)
