"""Which checkpoints of a training an evaluation shows."""

import numpy as np
import pytest

from anomaly_gan.evaluation.crop_files import crop_bytes
from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.metrics.features.network import Features, FeatureSource
from jobs.train.features import features_name, load_stages
from tests.support.builders_jobs import put_results
from tests.support.helpers import MemoryStorage

SOURCE = FeatureSource(network="lite0", sha256="57" * 32, input="resized")


@pytest.mark.parametrize(
    ("steps", "shown"),
    [([], []), ([50], [50]), ([50, 100, 150], [50, 100, 150]), (list(range(50, 501, 50)), [150, 350, 500])],
)
def test_checkpoints_are_shown_evenly_over_the_training_and_the_last_one_always(
    steps: list[int], shown: list[int]
) -> None:
    storage = MemoryStorage()
    files = {
        features_name(step): crop_bytes(CropFeatures(Features(np.full((1, 2), step), SOURCE), ["a"])) for step in steps
    }
    put_results(storage, "train-1", **{"history.json": b"[]", **files})
    stages = load_stages(storage, "train-1", 3)
    assert list(stages) == shown
    assert [one.features.values[0, 0] for one in stages.values()] == shown


def test_a_model_that_came_from_elsewhere_has_none() -> None:
    assert load_stages(MemoryStorage(), "train-1", 3) == {}
