"""The table of measures: real anomalies come out as real, and painters as what they are."""

import numpy as np
import pytest

from anomaly_gan.config import QualityConfig, ViewConfig
from anomaly_gan.evaluation.realism import Shown, painted_sets, realism_table, shown_of
from anomaly_gan.generation.gate import learn_gate
from anomaly_gan.generation.generate import generate
from tests.support.builders import CLASS, abnormal_sample, generation_plan, tiny_generator
from tests.support.pitted import FEATHER_PX, PIT, SIDE, flat, noise, opaque, painted, pitted, plain, shifted

pytestmark = pytest.mark.usefixtures("one_thread")

VIEW = ViewConfig(kind="whole", size=SIDE)
TEST, TRAIN, NORMALS = (
    [pitted(i) for i in range(25)],
    [pitted(i) for i in range(100, 125)],
    [plain(i) for i in range(6)],
)


def test_real_training_anomalies_lie_in_the_bands_and_painters_do_not() -> None:
    sets = {
        "real": [Shown(one.image, one.masks[PIT]) for one in TRAIN],
        **{
            name: [Shown(one.image, one.mask, one.normal) for one in made]
            for name, made in {
                "flat": [painted(i, flat) for i in range(8)],
                "noise": [painted(i, noise) for i in range(8)],
                "shifted": [shifted(i) for i in range(8)],
                "perfect": [painted(i, opaque) for i in range(8)],
            }.items()
        },
    }
    gate = learn_gate(NORMALS, TRAIN, PIT, VIEW, QualityConfig(), FEATHER_PX)
    table = realism_table(TEST, NORMALS, sets, PIT, VIEW, FEATHER_PX, gate)
    real = table.sets["real"]
    assert real.n == 25 and real.kept is None and "behind" not in real.medians
    assert float(np.mean(list(real.within.values()))) == pytest.approx(0.9, abs=0.07)
    for name, measure in (("flat", "texture"), ("noise", "coherence"), ("shifted", "contrast")):
        found = table.sets[name]
        assert found.within[measure] < 0.2 and found.kept == 0
        assert found.medians["unlikeness"] > table.bands["unlikeness"].high
    assert table.sets["shifted"].medians["fill_precision"] < 0.9 < table.sets["flat"].medians["fill_precision"]
    perfect = table.sets["perfect"]
    assert abs(perfect.medians["behind"]) < table.bands["behind"].high and (perfect.kept or 0) > 0.5
    assert {band.n for name, band in table.bands.items() if name != "behind"} == {25}


def test_painters_use_the_masks_and_pictures_of_what_was_generated() -> None:
    made = generate(generation_plan(), range(3), tiny_generator())
    real = [abnormal_sample(i) for i in range(3)]
    fakes = painted_sets(made, real, CLASS, 2)
    assert set(fakes) == {"flat painter", "noise painter", "shifted-mask painter"}
    for one, fake in zip(made, fakes["flat painter"], strict=True):
        assert np.array_equal(fake.mask, one.mask) and len(np.unique(fake.image[one.mask > 0])) == 1
        assert fake.normal is not None and np.array_equal(fake.normal, one.normal)
    for one, fake in zip(made, fakes["shifted-mask painter"], strict=True):
        assert np.array_equal(fake.image, one.pasted) and fake.mask.sum() == one.mask.sum()
        assert not np.array_equal(fake.mask, one.mask)
    assert [shown.mask is one.mask for one, shown in zip(made, shown_of(made), strict=True)] == [True] * 3
