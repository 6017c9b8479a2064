"""How far generated anomalies are from real ones: deliberate fakes are farther, and specks do not count."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.anomaly_distance import AnomalyDistance
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.metrics.features.network import FeatureNetwork, load_features
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.anomaly_gan.evaluation.test_likeness import flat, pictures, rough
from tests.support.builders import CLASS, generation_plan, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOW = ViewConfig(kind="window", size=64)


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    return load_features("lite0", side_px=64)


def as_generated(samples: Sequence[Sample]) -> list[Generated]:
    [made] = generate(generation_plan(), [0], tiny_generator())
    return [replace(made, sample=sample) for sample in samples]


def distance(network: FeatureNetwork, real: Sequence[Sample]) -> AnomalyDistance:
    return AnomalyDistance(network, real, CLASS, WINDOW, seed=0)


def test_flat_anomalies_are_farther_than_those_like_the_real_ones(network: FeatureNetwork) -> None:
    measured = distance(network, pictures(rough, 0))
    like, unlike = (measured.of(measured.seen(as_generated(pictures(paint, 100)))) for paint in (rough, flat))
    assert measured.anomalies == 12
    assert unlike.value - like.value > 2 * unlike.noise_against(like)


def test_the_same_images_have_the_same_distance(network: FeatureNetwork) -> None:
    images = as_generated(pictures(rough, 100, 4))
    first, second = (distance(network, pictures(rough, 0, 8)) for _ in range(2))
    assert first.of(first.seen(images)) == second.of(second.seen(images))


def test_real_anomalies_are_seen_through_the_generators_view(network: FeatureNetwork) -> None:
    """What a view cannot hold is cut: a picture of another size is the same to the measure."""
    mask = np.zeros((256, 256), np.uint8)
    mask[:, 100:130] = 1
    image = np.random.default_rng(0).integers(0, 255, (256, 256), dtype=np.uint8)
    seen: list[tuple[int, ...]] = []

    class Watching(FeatureNetwork):
        def of(self, pictures):  # type: ignore[no-untyped-def]
            kept = list(pictures)
            seen.extend(picture.shape for picture in kept)
            return super().of(kept)

    distance(Watching(**vars(network)), [Sample("long", image, {CLASS: mask})])
    assert set(seen) == {(64, 64)}


def test_specks_beside_an_anomaly_are_not_compared_with(network: FeatureNetwork) -> None:
    specked = [replace(one, masks={CLASS: one.masks[CLASS].copy()}) for one in pictures(rough, 0, 8)]
    for one in specked:
        one.masks[CLASS][2:5, 2:5] = 1
    assert distance(network, specked).anomalies == 8


def test_two_real_anomalies_are_enough_for_a_distance(network: FeatureNetwork) -> None:
    measured = distance(network, pictures(rough, 0, 2))
    assert measured.anomalies == 2
    assert np.isfinite(measured.of(measured.seen(as_generated(pictures(rough, 100, 4)))).deviation)


def test_pictures_without_an_anomaly_are_refused(network: FeatureNetwork) -> None:
    nothing = np.zeros((96, 96), np.uint8)
    nothing[3, 3] = 1
    with pytest.raises(DataError, match=f"the 1 pictures have no anomaly of {CLASS}"):
        distance(network, [replace(pictures(rough, 0, 1)[0], masks={CLASS: nothing})])
