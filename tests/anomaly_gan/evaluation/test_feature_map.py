"""The map of features: one plane for all sets, with the test of each, and files of a training's checkpoints."""

import numpy as np
import pytest

from anomaly_gan.evaluation.crop_files import crop_bytes, read_crops
from anomaly_gan.evaluation.feature_map import MOST_CROPS, FeatureMap, measure_map
from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.metrics.features.network import Features, FeatureSource
from infra.errors import DataError

SOURCE = FeatureSource(network="lite0", sha256="57" * 32, input="resized")


def crops(level: float, count: int = 30, seed: int = 0) -> CropFeatures:
    values = np.random.default_rng(seed).normal(level, 1, (count, 24))
    return CropFeatures(Features(values, SOURCE), [f"g{i}" for i in range(count)])


def mapped() -> FeatureMap:
    return measure_map(crops(0), {"like": crops(0, seed=4), "unlike": crops(5, 200, seed=2)}, seed=0)


def test_a_set_like_the_real_ones_lies_among_them_and_another_one_does_not() -> None:
    found = mapped()
    real, like, unlike = (np.array(each) for each in (found.real, *(one.places for one in found.sets.values())))
    reach = np.linalg.norm(real - np.median(real, axis=0), axis=1).max()
    assert np.linalg.norm(like - np.median(real, axis=0), axis=1).mean() < 1.5 * reach
    assert np.linalg.norm(np.median(unlike, axis=0) - np.median(real, axis=0)) > reach


def test_each_set_has_its_size_and_the_test_whether_it_differs() -> None:
    found = mapped()
    like, unlike = found.sets["like"], found.sets["unlike"]
    assert (found.real_crops, like.crops, unlike.crops) == (30, 30, 200)
    assert (len(found.real), len(like.places), len(unlike.places)) == (30, 30, MOST_CROPS)
    assert like.two_sample is not None and unlike.two_sample is not None
    assert unlike.two_sample.p_value < 0.05 < like.two_sample.p_value
    assert FeatureMap.model_validate_json(found.model_dump_json()) == found


def test_features_of_a_checkpoint_are_read_as_they_were_written_but_for_the_last_digits() -> None:
    before = crops(3, 5)
    after = read_crops(crop_bytes(before), "step")
    assert (after.groups, after.features.source) == (before.groups, SOURCE)
    assert after.features.values == pytest.approx(before.features.values, rel=1e-3)


def test_a_damaged_file_is_refused_by_its_name() -> None:
    with pytest.raises(DataError, match=r"^features/step-1: no features of anomalies \(.*\); train the model again"):
        read_crops(b"garbage", "features/step-1")
