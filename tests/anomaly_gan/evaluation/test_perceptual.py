"""Diversity of crops around anomalies: copies of one training picture have none, others stand beside real ones."""

import numpy as np
import pytest

from anomaly_gan.evaluation import perceptual
from anomaly_gan.evaluation.perceptual import TRAINING, measure_perceptual
from anomaly_gan.metrics.perceptual import PerceptualNetwork, load_shift_tolerant
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.support.builders import CLASS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> PerceptualNetwork:
    return load_shift_tolerant()


def pictures(first: int, count: int) -> list[Sample]:
    """A square of noise of its own on a plain picture."""
    made = []
    for number in range(first, first + count):
        image, mask = np.full((80, 80), 128, np.uint8), np.zeros((80, 80), np.uint8)
        mask[20:52, 20:52] = 1
        image[20:52, 20:52] = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8).repeat(4, 0).repeat(4, 1)
        made.append(Sample(f"p{number}", image, {CLASS: mask}))
    return made


def test_copies_have_no_diversity_within_clusters_and_real_ones_have(network: PerceptualNetwork) -> None:
    training = pictures(0, 4)
    sets = {"real": pictures(10, 8), "copies": training * 3}
    found = measure_perceptual([network], training, sets, CLASS, seed=0, missing=["no file"])
    [(name, table)] = found.networks.items()
    assert (name, list(table), found.missing) == (network.name, [TRAINING, "real", "copies"], ("no file",))
    real, copies = table["real"], table["copies"]
    assert copies.within_clusters == pytest.approx(0, abs=1e-5) and copies.clusters == 4
    assert real.within_clusters is not None and real.within_clusters > 0.05
    assert copies.among is not None and copies.among > 0.05  # of four different pictures


def test_of_a_large_set_as_many_crops_as_the_limit_are_drawn_by_the_seed(
    network: PerceptualNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual, "MOST_CROPS", 3)

    def measured(seed: int) -> perceptual.Perceptual:
        return measure_perceptual([network], pictures(0, 2), {"made": pictures(10, 9)}, CLASS, seed=seed)

    assert measured(0).networks[network.name]["made"].pictures == 3
    assert measured(0) == measured(0) != measured(1)


def test_a_set_without_an_anomaly_is_refused_by_its_name(network: PerceptualNetwork) -> None:
    with pytest.raises(DataError, match="the 1 pictures of magic have no anomaly"):
        measure_perceptual(
            [network], pictures(0, 2), {"magic": [Sample("n", np.zeros((80, 80), np.uint8))]}, CLASS, seed=0
        )
