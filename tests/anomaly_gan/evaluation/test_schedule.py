"""How long detectors learn by default."""

import pytest

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.schedule import MOST_STEPS, PASSES, enough_steps


@pytest.mark.parametrize(("views", "steps"), [(0, 400), (32, 400), (133, 400), (134, 402), (336, 1008), (10**6, 4000)])
def test_few_views_take_the_detectors_own_steps_and_many_are_each_shown_often_enough(views: int, steps: int) -> None:
    config = DetectorConfig(name="segmenter").filled_in()
    assert enough_steps(config, views) == steps
    if config.steps < steps < MOST_STEPS:
        assert steps * config.batch_size / 2 >= PASSES * views


def test_more_steps_than_the_most_stay() -> None:
    assert enough_steps(DetectorConfig(name="segmenter", steps=9000), 10**6) == 9000
