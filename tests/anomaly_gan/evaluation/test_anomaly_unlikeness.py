"""How unlike real anomalies the images of a generator look."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.anomaly_unlikeness import AnomalyUnlikeness
from anomaly_gan.generation.generate import Generated, generate
from tests.support.builders import CLASS, abnormal_sample, generation_plan, tiny_generator

VIEW = ViewConfig(size=64)


@pytest.fixture(scope="module")
def made() -> list[Generated]:
    return generate(generation_plan(), range(8), tiny_generator())


def test_real_anomalies_are_about_one_and_what_shows_nothing_is_farther(made: list[Generated]) -> None:
    unlike = AnomalyUnlikeness([abnormal_sample(i) for i in range(12)], CLASS, VIEW, seed=0)
    others = [abnormal_sample(i) for i in range(20, 28)]
    real = [replace(one, pasted=other.image, mask=other.masks[CLASS]) for one, other in zip(made, others, strict=True)]
    nothing = [replace(one, pasted=one.normal) for one in made]
    assert unlike.anomalies == 12
    assert unlike.of(real).value < 1.5
    assert unlike.of(nothing).value > 2 * unlike.of(real).value
    apart = unlike.of(nothing).value - unlike.of(real).value
    assert apart > 3 * unlike.of(nothing).noise_against(unlike.of(real))


def test_its_halves_say_how_sure_the_mean_is(made: list[Generated]) -> None:
    unlike = AnomalyUnlikeness([abnormal_sample(i) for i in range(12)], CLASS, VIEW, seed=0)
    several = unlike.of(made * 8)
    assert several.deviation < unlike.of(made).deviation
    assert several.value == pytest.approx(unlike.of(made).value)
    assert np.mean(several.halves) == pytest.approx(several.value, abs=3 * several.deviation)
    assert several.noise_against(unlike.of(made * 8)) == 0
