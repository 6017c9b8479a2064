"""Crops of anomalies beside those of the test split: real ones are close, deliberate fakes are far."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.evaluation.likeness import (
    CropFeatures,
    anomaly_crops,
    crop_features,
    mean_level,
    measure_likeness,
    painted_flat,
)
from anomaly_gan.generation.generate import generate
from anomaly_gan.metrics.features.network import FeatureNetwork, load_features
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.support.builders import CLASS, generation_plan, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")

Paint = Callable[[NDArray[np.uint8], NDArray[np.bool_], np.random.Generator], None]


def rough(image: NDArray[np.uint8], inside: NDArray[np.bool_], rng: np.random.Generator) -> None:
    image[inside] = rng.integers(0, 110, inside.sum())


def flat(image: NDArray[np.uint8], inside: NDArray[np.bool_], rng: np.random.Generator) -> None:
    image[inside] = 55


def pictures(paint: Paint, first: int, count: int = 12) -> list[Sample]:
    """Blurred noise with an ellipse that is painted; each picture is a group of its own."""
    made = []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        image = cv2.GaussianBlur(rng.integers(120, 200, (96, 96), dtype=np.uint8), (5, 5), 0).astype(np.uint8)
        mask = np.zeros((96, 96), np.uint8)
        centre = (int(rng.integers(30, 66)), int(rng.integers(30, 66)))
        cv2.ellipse(mask, centre, (int(rng.integers(9, 16)), int(rng.integers(6, 10))), 0, 0, 360, [1], -1)
        paint(image, mask > 0, rng)
        made.append(Sample(f"p{number}", image, {CLASS: mask}, meta={"group": f"g{number}"}))
    return made


def seen(network: FeatureNetwork, samples: list[Sample]) -> CropFeatures:
    return crop_features(network, samples, CLASS, "the set")


def test_real_anomalies_come_out_as_real_and_a_flat_painter_as_what_it_is() -> None:
    network = load_features("lite0", side_px=96)
    sets = {"real": seen(network, pictures(rough, 100)), "flat": seen(network, pictures(flat, 200))}
    found = measure_likeness(seen(network, pictures(rough, 0)), sets, seed=0)
    assert found.floor is not None and found.floor.scores["kid"] is not None
    real, fake, floor = found.sets["real"].kid, found.sets["flat"].kid, found.floor.scores["kid"]
    assert real is not None and fake is not None
    assert abs(real - floor.mean) < 4 * floor.deviation + 0.05
    assert fake > 5 * max(abs(real), floor.deviation)
    assert found.sets["flat"].coverage == 0 and (found.sets["real"].coverage or 0) > 0.5


def test_every_anomaly_has_a_square_crop_that_holds_it_also_at_the_border() -> None:
    image, mask = np.arange(100 * 80, dtype=np.uint16).reshape(100, 80).astype(np.uint8), np.zeros((100, 80), np.uint8)
    mask[0:10, 60:80], mask[50:90, 20:25], mask[99, 0] = 1, 1, 1
    crops = anomaly_crops(Sample("a", image, {CLASS: mask}), CLASS)
    assert [crop.shape for crop in crops] == [(32, 32), (60, 60)]  # 20 px would be 30, and a speck has none
    assert np.array_equal(crops[0], image[0:32, 48:80])


def test_a_flat_painter_changes_the_masks_and_nothing_else() -> None:
    made = generate(generation_plan(feather_px=0), [0, 1], tiny_generator())
    for one, painted in zip(made, painted_flat(made, 40.4, CLASS, 0), strict=True):
        inside = painted.masks[CLASS] > 0
        assert (painted.image[inside] == 40).all()
        assert np.array_equal(painted.image[~inside], one.normal[~inside])


def test_the_mean_level_is_that_of_anomalous_pixels() -> None:
    assert mean_level(pictures(flat, 0), CLASS) == 55


def test_a_set_without_an_anomaly_is_refused_by_its_name() -> None:
    normal = Sample("n", np.zeros((96, 96), np.uint8))
    with pytest.raises(DataError, match="the 1 pictures of magic have no anomaly"):
        crop_features(load_features("lite0", side_px=96), [normal], CLASS, "magic")
