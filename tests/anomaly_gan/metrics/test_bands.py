"""Bands of real anomalies hold other real ones at their nominal rate, however few are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anomaly_gan.metrics.bands import band_of, distance, learn_realism, least_half_width
from anomaly_gan.metrics.realism import Appearance, appearance
from tests.support.pitted import PIT, noise, painted, pitted

LEAST = 1e-9
REALS = [appearance(one.image, one.masks[PIT]) for one in map(pitted, range(30))]


def test_the_band_of_many_reaches_from_the_5_to_the_95_percent_quantile() -> None:
    band = band_of([float(i) for i in range(1, 2001)])
    assert band is not None and (band.median, band.n) == (1000.5, 2000)
    assert band.low == pytest.approx(100, abs=2) and band.high == pytest.approx(1901, abs=2)


@pytest.mark.parametrize("n", [5, 10, 40])
def test_nine_of_ten_others_are_in_the_band_of_few(n: int) -> None:
    rng = np.random.default_rng(n)
    inside = []
    for _ in range(700):
        band, other = band_of(rng.normal(size=n).tolist()), rng.normal()
        assert band is not None
        inside.append(band.low <= other <= band.high)
    assert float(np.mean(inside)) == pytest.approx(0.9, abs=0.04)


def test_one_value_has_no_band() -> None:
    assert band_of([1.0]) is None and band_of([]) is None


def test_a_distance_is_one_at_the_end_of_the_band_on_either_side() -> None:
    band = band_of([0.0] * 10 + [1.0] * 11 + [4.0] * 10)
    assert band is not None
    assert distance(band.low, band, LEAST) == pytest.approx(-1) and distance(band.high, band, LEAST) == pytest.approx(1)
    assert distance(band.median, band, LEAST) == 0
    narrow = band_of([2.0, 2.0, 2.0])
    assert narrow is not None and distance(2.5, narrow, 0.5) == 1


def test_a_small_mask_is_less_sure_of_its_texture() -> None:
    for name in ("texture", "fine", "middle", "coarse", "edge", "coherence", "grid"):
        assert least_half_width(name, 25) == pytest.approx(2 * least_half_width(name, 100))
    assert least_half_width("contrast", 25) == least_half_width("contrast", 100) == 0.01


def test_real_anomalies_are_about_one_and_noise_is_far() -> None:
    band = learn_realism(REALS)
    others = [appearance(one.image, one.masks[PIT]) for one in map(pitted, range(100, 130))]
    assert 0.5 < float(np.median([band.unlikeness(one) for one in others])) < 1.3
    made = [painted(number, noise) for number in range(10)]
    assert min(band.unlikeness(appearance(one.image, one.mask)) for one in made) > 2


def test_measures_that_go_together_are_judged_together() -> None:
    rng = np.random.default_rng(0)
    reals = [replace(REALS[0], fine=value, middle=value + rng.normal() / 5) for value in rng.normal(size=40)]
    band = learn_realism(reals)
    usual, odd = replace(REALS[0], fine=1.0, middle=1.0), replace(REALS[0], fine=1.0, middle=-1.0)
    assert max(map(abs, band.distances(odd).values())) < 1  # neither is odd alone
    assert band.unlikeness(odd) > 2 * band.unlikeness(usual)


def test_on_other_ground_an_anomaly_may_have_detail_of_its_own_or_that_of_the_ground() -> None:
    band, one = learn_realism(REALS), REALS[0]
    middle = {name: band.bands[name].median for name in ("texture", "fine", "edge")}

    def beyond(shift: float, rougher: float = 3.0) -> float:
        """The farthest of three measures, all so much above the middle, on rougher ground; both in powers of two."""
        ground = {name: level + rougher for name, level in band.ground.items()}
        shifted: dict[str, Any] = {name: value + shift for name, value in middle.items()}
        made = replace(one, ground=ground, **shifted)
        return max(abs(band.distances(made)[name]) for name in middle)

    assert max(beyond(0.0), beyond(-3.0), beyond(-1.5)) < 1e-9
    assert min(beyond(3.0), beyond(-6.0), beyond(-3.0, rougher=0.0)) > 1


def test_what_is_not_defined_is_left_out() -> None:
    band = learn_realism([replace(one, grid=None) for one in REALS])
    assert "grid" not in band.bands and "grid" not in band.distances(REALS[0])
    nothing = Appearance(9)
    assert band.distances(nothing) == {} and band.unlikeness(nothing) == 0


def test_the_order_of_real_anomalies_does_not_matter() -> None:
    one, other = learn_realism(REALS), learn_realism(REALS[::-1])
    assert one.bands == other.bands and np.allclose(one.correlation, other.correlation)
