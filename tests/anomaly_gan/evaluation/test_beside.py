"""Generated anomalies beside the real ones that they are most like, in the order of their distance."""

import numpy as np
import pytest

from anomaly_gan.evaluation import beside
from anomaly_gan.evaluation.beside import beside_real
from anomaly_gan.metrics.perceptual import PerceptualNetwork, load_shift_tolerant
from anomaly_gan.samples.sample import Sample
from tests.support.builders import CLASS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> PerceptualNetwork:
    return load_shift_tolerant()


def picture(number: int, noise: int = 0) -> Sample:
    """A square with a pattern of its own, and noise of some grey levels on it."""
    image, mask = np.full((80, 80), 128, np.uint8), np.zeros((80, 80), np.uint8)
    mask[20:52, 20:52] = 1
    pattern = np.random.default_rng(number).integers(60, 196, (8, 8)).repeat(4, 0).repeat(4, 1)
    image[20:52, 20:52] = pattern + np.random.default_rng(99).integers(-noise, noise + 1, (32, 32))
    return Sample(f"p{number}", image, {CLASS: mask})


def test_pairs_are_ranked_and_hold_the_nearest_real_one(network: PerceptualNetwork) -> None:
    real, normal = [picture(number) for number in range(3)], Sample("n", np.zeros((80, 80), np.uint8))
    made = [picture(1, noise) for noise in (40, 0, 60, 10, 20)]
    found = beside_real(network, made, [*real, normal], CLASS, each=1)
    assert list(found) == ["best", "median", "worst"]
    [best], [median], [worst] = found.values()
    assert best.distance == pytest.approx(0, abs=1e-5) and best.distance < median.distance < worst.distance
    assert np.array_equal(best.generated, best.real)
    assert np.array_equal(worst.real, best.real)
    own = [made[i].image[12:60, 12:60] for i in (4, 2)]
    assert np.array_equal(median.generated, own[0]) and np.array_equal(worst.generated, own[1])


def test_few_anomalies_are_shown_once_where_that_can_be(network: PerceptualNetwork) -> None:
    found = beside_real(network, [picture(number) for number in range(6)], [picture(9)], CLASS)
    assert [len(pairs) for pairs in found.values()] == [2, 2, 2]
    shown = {pair.generated.tobytes() for pairs in found.values() for pair in pairs}
    assert len(shown) == 6


def test_of_many_anomalies_every_so_manyth_is_measured(
    network: PerceptualNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "MOST_CROPS", 2)
    found = beside_real(network, [picture(number) for number in range(4)], [picture(0), picture(2)], CLASS)
    shown = {pair.generated.tobytes() for pairs in found.values() for pair in pairs}
    assert shown == {picture(number).image[12:60, 12:60].tobytes() for number in (0, 2)}
