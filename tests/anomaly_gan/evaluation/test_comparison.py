"""The comparison of arms: what each detector is shown, in pairs, and what is said of the difference."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from torch import nn

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.detectors.training import DetectorReport, Stream
from anomaly_gan.evaluation import comparison
from anomaly_gan.evaluation.arms import ARMS, BASE
from anomaly_gan.evaluation.comparison import CellProgress, Comparison, Material, compare_arms
from anomaly_gan.metrics.detection import Detections
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, UsageError
from tests.support.builders_detectors import bright_square, tiny

CLASSES = ("hole",)


def normal(key: str) -> Sample:
    return Sample(key, np.full((64, 64), 80, np.uint8))


def material(**changes: Any) -> Material:
    wanted: dict[str, Any] = {
        "normals": [normal("n")],
        "real": [bright_square("r")],
        "added": {"generated": [bright_square("g", top=30)], "copy_paste": [bright_square("c", left=40)]},
        "test": [bright_square(f"t{i}", top=4 + 6 * i) for i in range(6)] + [normal("u")],
        "groups": [f"p{i}" for i in range(7)],
        "classes": CLASSES,
    }
    return Material(**(wanted | changes))


class FakeTraining:
    """Stands in for training and prediction: remembers what each cell was shown, and finds as well as it is told.

    Attributes:
        skill: arm's added anomalies -> how much of an anomaly its detector marks, 0..1.
    """

    def __init__(self, skill: dict[str, float]) -> None:
        self.skill = skill
        self.shown: list[tuple[int, list[Stream]]] = []

    def train(
        self, model: nn.Module, streams: Sequence[Stream], classes: Sequence[str], config: DetectorConfig, device: str
    ) -> Iterator[DetectorReport]:
        self.shown.append((config.seed, list(streams)))
        yield DetectorReport(1, 1, 0.5)

    def predict(
        self, model: nn.Module, samples: Sequence[Sample], classes: Sequence[str], **_: Any
    ) -> Iterator[Detections]:
        seed, streams = self.shown[-1]
        skill = self.skill.get(streams[-1].name, 0.5)
        for number, sample in enumerate(samples):
            rng = np.random.default_rng([seed, number])
            mask = sample.masks.get("hole", np.zeros(sample.image.shape[:2], np.uint8))
            found = rng.uniform(0, 0.5, mask.shape) + 0.5 * (mask * (rng.random(mask.shape) < skill))
            yield Detections(
                np.zeros((0, 4), np.float32),
                np.zeros(0, np.int64),
                np.zeros((0, *mask.shape), np.uint8),
                np.zeros(0, np.float32),
                found[None].astype(np.float32),
            )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    made = FakeTraining({"generated": 0.9, "copy_paste": 0.1})
    monkeypatch.setattr(comparison, "train_detector", made.train)
    monkeypatch.setattr(comparison, "predict", made.predict)
    return made


def compared(arms: Sequence[str], seeds: int = 3, **changes: Any) -> Comparison:
    return compare_arms(arms, seeds, material(**changes), tiny("segmenter", steps=20, batch_size=4))


def test_every_arm_is_run_with_every_seed_and_the_base_always(fake: FakeTraining) -> None:
    result = compared(["generated"], seeds=2)
    assert [(cell.seed, cell.arm) for cell in result.cells] == [
        (0, "real"), (0, "generated"), (1, "real"), (1, "generated"),
    ]  # fmt: skip
    assert [seed for seed, _ in fake.shown] == [0, 0, 1, 1]
    assert result.verdicts.keys() == {"generated"}


@pytest.mark.parametrize("arm", ARMS)
def test_half_of_what_any_arm_is_shown_are_normal_pictures(fake: FakeTraining, arm: str) -> None:
    for cell in compared([arm], seeds=1).cells:
        assert cell.shown["normal"] == 40 and sum(cell.shown.values()) == 80
        others = [count for name, count in cell.shown.items() if name != "normal"]
        assert len(set(others)) == 1


def test_each_arm_is_shown_the_anomalies_that_it_names_and_no_others(fake: FakeTraining) -> None:
    compared(["copy_paste", "generated", "generated_alone"], seeds=1)
    keys = [{stream.name: [one.key for one in stream.samples] for stream in streams} for _, streams in fake.shown]
    assert keys == [
        {"normal": ["n"], "real": ["r"]},
        {"normal": ["n"], "real": ["r"], "copy_paste": ["c"]},
        {"normal": ["n"], "real": ["r"], "generated": ["g"]},
        {"normal": ["n"], "generated": ["g"]},
    ]


def test_the_word_follows_what_the_detectors_find_and_comes_with_its_interval(fake: FakeTraining) -> None:
    result = compared(["generated", "copy_paste"])
    helps, harms = result.verdicts["generated"], result.verdicts["copy_paste"]
    assert (helps.word, harms.word) == ("helps", "harms")
    assert 0 < helps.low < helps.difference < helps.high and harms.low < harms.difference < harms.high < 0
    assert result.pixel_ap["generated"].mean > result.pixel_ap[BASE].mean > result.pixel_ap["copy_paste"].mean
    mean = np.mean([cell.pixels.pixel_ap for cell in result.of_arm(BASE) if cell.pixels])
    assert result.pixel_ap[BASE].mean == pytest.approx(mean)


def test_a_detector_that_marks_the_annotated_pixels_and_no_others_scores_1(fake: FakeTraining) -> None:
    fake.skill = {"real": 1.0}
    assert [cell.pixels.pixel_ap for cell in compared([], seeds=2).cells if cell.pixels] == [1.0, 1.0]


def test_generated_images_that_change_nothing_leave_it_undecided(fake: FakeTraining) -> None:
    fake.skill = {}
    assert compared(["generated"]).verdicts["generated"].word == "undecided"


def test_a_comparison_is_read_as_it_was_written(fake: FakeTraining) -> None:
    result = compared(["generated"])
    assert Comparison.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("name", DETECTORS)
def test_cells_of_one_seed_begin_alike_and_every_step_is_reported(name: str) -> None:
    steps: list[CellProgress] = []
    config = tiny(name)
    result = compare_arms(["generated"], 1, material(), config, on_progress=steps.append)
    assert [(one.arm, one.cell, one.step) for one in steps] == [
        ("real", 1, 1), ("real", 1, 2), ("generated", 2, 1), ("generated", 2, 2),
    ]  # fmt: skip
    assert {(one.cells, one.steps) for one in steps} == {(2, 2)}
    assert [one.loss for one in steps] == [loss for cell in result.cells for loss in cell.losses]
    again = compare_arms(["generated"], 1, material(), config)
    assert again == result
    has_masks = DETECTORS[name].has_masks
    assert [cell.pixels is not None for cell in result.cells] == [has_masks] * 2
    assert (result.verdicts != {}) == (result.pixel_ap != {}) == has_masks


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"real": [normal("x")]}, "the 1 real training images have no anomaly of hole"),
        ({"test": [normal("x")], "groups": ["p"]}, "the 1 real test images have no anomaly of hole"),
        ({"added": {"generated": [normal("x")]}}, "the 1 generated images have no anomaly of hole"),
    ],
)
def test_a_set_without_an_anomaly_is_refused_by_its_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        compared(["generated"], **changes)


def test_an_unknown_arm_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="arms: unknown arm, got 'magic'; use one of real, copy_paste, generated"):
        compared(["magic"])
