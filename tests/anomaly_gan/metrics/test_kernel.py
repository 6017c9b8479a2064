"""Kernel distance and KID: against the double sum of its definition, torchmetrics, and their bias."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.image.kid import KernelInceptionDistance

from anomaly_gan.metrics import kernel
from anomaly_gan.metrics.kernel import halved_distance, kernel_distance, kid, spread
from infra.errors import DataError


def drawn(count: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1, (count, 5))


def test_kernel_distance_is_the_unbiased_double_sum_of_the_cubic_kernel() -> None:
    def cubic(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float((x @ y / 5 + 1) ** 3)

    real, fake = drawn(4, 0), drawn(3, 1)
    wanted = (
        sum(cubic(real[i], real[j]) for i in range(4) for j in range(4) if i != j) / 12
        + sum(cubic(fake[i], fake[j]) for i in range(3) for j in range(3) if i != j) / 6
        - 2 * sum(cubic(x, y) for x in real for y in fake) / 12
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


# --- KID


class Rows(torch.nn.Module):
    """A network for torchmetrics that sees rows of features as they are."""

    num_features = 5

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.double()


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kid_is_that_of_torchmetrics() -> None:
    """Subsets as large as the sets, so that chance does not matter."""
    real, generated = drawn(40, 0), drawn(40, 1, 0.5)
    metric = KernelInceptionDistance(feature=Rows(), subsets=3, subset_size=40).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(generated), real=False)
    mean, deviation = metric.compute()
    ours = kid(real, generated, seed=0, subsets=3, subset_size=40)
    assert ours.mean == pytest.approx(float(mean), abs=1e-6)
    assert ours.deviation == pytest.approx(float(deviation), abs=1e-6)


@pytest.mark.parametrize("whole_rows", [29, 30])
def test_kid_is_mean_and_deviation_of_the_kernel_distances_of_random_subsets(
    whole_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "WHOLE_ROWS", whole_rows)
    real, generated = drawn(30, 0), drawn(20, 1, 0.5)
    rng = np.random.default_rng(7)
    distances = []
    for _ in range(12):
        first, second = rng.choice(30, 9, replace=False), rng.choice(20, 9, replace=False)
        distances.append(kernel_distance(real[first], generated[second]))
    found = kid(real, generated, seed=7, subsets=12, subset_size=9)
    assert (found.mean, found.deviation) == pytest.approx((np.mean(distances), np.std(distances)))
    assert kid(real, generated, seed=8, subsets=12, subset_size=9).mean != found.mean


def test_a_subset_is_half_of_the_smaller_set_and_at_most_a_thousand() -> None:
    assert kid(drawn(30, 0), drawn(21, 1), seed=0, subsets=2).subset_size == 10
    assert kid(drawn(2100, 0), drawn(2010, 1), seed=0, subsets=1).subset_size == 1000


def test_the_deviation_of_halves_is_that_of_the_distance_itself() -> None:
    found = [kid(drawn(40, 2 * seed), drawn(40, 2 * seed + 1, 1.0), seed=seed) for seed in range(60)]
    spread_of_means = np.std([each.mean for each in found])
    assert np.mean([each.deviation for each in found]) == pytest.approx(spread_of_means, rel=0.3)


def test_kid_of_sets_of_one_distribution_is_about_0() -> None:
    found = kid(drawn(400, 0), drawn(400, 1), seed=0)
    assert abs(found.mean) < 2 * found.deviation


@pytest.mark.parametrize(("count", "size"), [(3, None), (8, 9)])
def test_too_few_rows_for_kid_are_refused(count: int, size: int | None) -> None:
    with pytest.raises(DataError, match=rf"KID: needs {size or 4} or more of each set, got 30, {count}"):
        kid(drawn(30, 0), drawn(count, 1), seed=0, subset_size=size)


def names(count: int, size: int = 1) -> list[str]:
    """A group for each row, of so many rows each."""
    return [str(i // size) for i in range(count)]


def test_the_deviation_of_a_distance_is_about_its_standard_error() -> None:
    """Against the deviation over sets that are drawn anew."""
    found = [
        halved_distance(drawn(24, seed), drawn(30, 1000 + seed, 0.5), names(24), names(30), seed=0)
        for seed in range(60)
    ]
    over_sets = np.std([one.value for one in found])
    assert np.mean([one.deviation for one in found]) == pytest.approx(over_sets, rel=0.35)


def test_rows_of_a_group_that_are_nearly_equal_do_not_make_a_distance_surer() -> None:
    real, fake = np.repeat(drawn(6, 0), 5, axis=0), drawn(30, 1, 0.5)
    grouped = halved_distance(real, fake, names(30, 5), names(30), seed=0)
    alone = halved_distance(real, fake, names(30), names(30), seed=0)
    assert grouped.value == alone.value == pytest.approx(kernel_distance(real, fake))
    assert grouped.deviation > 1.3 * alone.deviation


def test_what_two_distances_share_is_no_noise_of_their_difference() -> None:
    real, fake = drawn(20, 0), drawn(30, 1)
    first = halved_distance(real, fake, names(20), names(30), seed=0)
    again = halved_distance(real, fake, names(20), names(30), seed=0)
    nearly = halved_distance(real, fake + 1e-3 * drawn(30, 2), names(20), names(30), seed=0)
    assert first == again and first.noise_against(again) == 0
    assert 0 < first.noise_against(nearly) < 0.1 * first.deviation


@pytest.mark.parametrize(("rows", "size"), [(2, 1), (3, 1), (4, 4), (5, 4)])
def test_a_half_of_few_groups_has_two_rows(rows: int, size: int) -> None:
    found = halved_distance(drawn(rows, 0), drawn(2, 1), names(rows, size), names(2), seed=0)
    assert np.isfinite(found.halves).all()


def test_a_single_row_has_no_distance() -> None:
    with pytest.raises(DataError, match="needs two sets of 2 or more"):
        halved_distance(drawn(1, 0), drawn(5, 1), names(1), names(5), seed=0)
