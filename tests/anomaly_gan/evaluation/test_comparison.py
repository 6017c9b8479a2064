"""The comparison of arms: what each detector is shown, in pairs, and what is said of the difference."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.training import DetectorReport
from anomaly_gan.evaluation import cells
from anomaly_gan.evaluation.arms import BASE, parse_arms
from anomaly_gan.evaluation.cell_files import cell_bytes, read_cell
from anomaly_gan.evaluation.cells import FailedCell, run_cell
from anomaly_gan.evaluation.comparison import CellProgress, Comparison, compare_arms, judged
from anomaly_gan.evaluation.material import Material
from anomaly_gan.metrics.detection import Detections
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, UsageError
from tests.support.builders_detectors import bright_square, tiny

CLASSES = ("hole",)
GENERATED, ALONE = "real+generated:job", "generated:job"


def normal(key: str) -> Sample:
    return Sample(key, np.full((64, 64), 80, np.uint8))


def material(**changes: Any) -> Material:
    wanted: dict[str, Any] = {
        "normals": [normal("n")],
        "real": [bright_square("r")],
        "added": {ALONE: [bright_square("g", top=30)], "copy_paste": [bright_square("c", left=40)]},
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
                np.repeat(found[None], len(classes), axis=0).astype(np.float32),
            )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    made = FakeTraining({"generated": 0.9, "copy_paste": 0.1})
    monkeypatch.setattr(cells, "train_detector", made.train)
    monkeypatch.setattr(cells, "predict", made.predict)
    return made


def compared(arms: Sequence[str], seeds: int = 3, **changes: Any) -> Comparison:
    return compare_arms(arms, seeds, material(**changes), tiny("segmenter", steps=20, batch_size=4))


def test_every_arm_is_run_with_every_seed_and_the_base_always(fake: FakeTraining) -> None:
    result = compared([GENERATED], seeds=2)
    assert [(cell.seed, cell.arm) for cell in result.cells] == [
        (0, "none"), (0, GENERATED), (1, "none"), (1, GENERATED),
    ]  # fmt: skip
    assert [seed for seed, _ in fake.shown] == [0, 0, 1, 1]
    assert result.verdicts.keys() == {GENERATED}


@pytest.mark.parametrize("arm", ["none", "flips", "copy_paste", GENERATED, ALONE])
def test_half_of_what_any_arm_is_shown_are_normal_pictures(fake: FakeTraining, arm: str) -> None:
    for cell in compared([arm], seeds=1).cells:
        assert cell.shown["normal"] == 40 and sum(cell.shown.values()) == 80
        others = [count for name, count in cell.shown.items() if name != "normal"]
        assert len(set(others)) == 1


def test_an_arm_shows_as_much_of_the_added_pictures_as_its_share_says(fake: FakeTraining) -> None:
    _, quarter, most = compared([f"{GENERATED}@0.25", f"{GENERATED}@0.75"], seeds=1).cells
    assert quarter.shown == {"normal": 40, "real": 30, "generated": 10}
    assert most.shown == {"normal": 40, "real": 10, "generated": 30}


def test_each_arm_is_shown_the_anomalies_that_it_names_and_no_others(fake: FakeTraining) -> None:
    compared(["copy_paste", GENERATED, ALONE], seeds=1)
    keys = [{stream.name: [one.key for one in stream.samples] for stream in streams} for _, streams in fake.shown]
    assert keys == [
        {"normal": ["n"], "real": ["r"]},
        {"normal": ["n"], "real": ["r"], "copy_paste": ["c"]},
        {"normal": ["n"], "real": ["r"], "generated": ["g"]},
        {"normal": ["n"], "generated": ["g"]},
    ]


def test_an_adaptive_arm_shows_the_same_pictures_and_adapts_to_the_added_ones_alone(fake: FakeTraining) -> None:
    """So no test picture says what is shown: a stream adapts to its own pictures, and has none of them."""
    compared([GENERATED, "adaptive:job", "adaptive:job@0.25#1"], seeds=1)
    [_, even, adaptive, few] = [streams for _, streams in fake.shown]
    assert [replace(stream, adapts=False) for stream in adaptive] == even
    assert [(stream.name, stream.adapts) for stream in adaptive] == [
        ("normal", False), ("real", False), ("generated", True),
    ]  # fmt: skip
    assert [(stream.share, len(stream.samples)) for stream in few] == [(0.5, 1), (0.375, 1), (0.125, 1)]
    assert not any(stream.adapts for stream in even)


def test_flips_are_the_real_pictures_in_their_seven_other_turns_with_their_masks(fake: FakeTraining) -> None:
    compared(["flips"], seeds=1)
    copies = fake.shown[-1][1][-1].samples
    images = [one.image.tobytes() for one in (bright_square("r"), *copies)]
    assert len(copies) == 7 and len(set(images)) == 8
    assert all(np.array_equal(one.masks["hole"] > 0, one.image > 100) for one in copies)


def test_a_count_takes_the_first_pictures_of_each_class_in_their_order(fake: FakeTraining) -> None:
    def made(key: str, name: str) -> Sample:
        return Sample(key, bright_square(key).image, {name: bright_square(key).masks["hole"]})

    mixed = [made("a", "hole"), made("b", "hole"), made("c", "crack"), made("d", "crack"), made("e", "hole")]
    given = {"added": {ALONE: mixed}, "classes": ("crack", "hole")}
    compared([f"{GENERATED}#1"], seeds=1, **given)
    assert [one.key for one in fake.shown[-1][1][-1].samples] == ["a", "c"]


def test_the_word_follows_what_the_detectors_find_and_comes_with_its_interval(fake: FakeTraining) -> None:
    result = compared([GENERATED, "copy_paste"])
    helps, harms = result.verdicts[GENERATED], result.verdicts["copy_paste"]
    assert (helps.word, harms.word) == ("helps", "harms")
    assert 0 < helps.low < helps.difference < helps.high and harms.low < harms.difference < harms.high < 0
    assert result.pixel_ap[GENERATED].mean > result.pixel_ap[BASE].mean > result.pixel_ap["copy_paste"].mean
    mean = np.mean([cell.pixels.pixel_ap for cell in result.of_arm(BASE) if cell.pixels])
    assert result.pixel_ap[BASE].mean == pytest.approx(mean)


def test_a_detector_that_marks_the_annotated_pixels_and_no_others_scores_1(fake: FakeTraining) -> None:
    fake.skill = {"real": 1.0}
    assert [cell.pixels.pixel_ap for cell in compared([], seeds=2).cells if cell.pixels] == [1.0, 1.0]


def test_generated_images_that_change_nothing_leave_it_undecided(fake: FakeTraining) -> None:
    fake.skill = {}
    assert compared([GENERATED]).verdicts[GENERATED].word == "undecided"


def test_a_comparison_is_read_as_it_was_written(fake: FakeTraining) -> None:
    result = compared([GENERATED])
    assert Comparison.model_validate_json(result.model_dump_json()) == result


def finished(seeds: int = 3) -> list[cells.Cell]:
    """All cells of two arms, run one by one in another order than that of a comparison."""
    shown, config = material(), tiny("segmenter", steps=20, batch_size=4)
    return [
        run_cell(arm, config.model_copy(update={"seed": seed}), shown)
        for seed in reversed(range(seeds))
        for arm in parse_arms([GENERATED])
    ]


def test_cells_that_were_kept_as_files_give_the_very_same_verdict(fake: FakeTraining) -> None:
    """Whoever ran them, and in which order: a comparison is a function of its cells."""
    expected = compared([GENERATED])
    again = [read_cell(cell_bytes(cell), "cell") for cell in finished()]
    again.sort(key=lambda cell: cell.result.seed)
    assert judged(again, expected.config, CLASSES) == expected
    assert cell_bytes(again[0]) == cell_bytes(read_cell(cell_bytes(again[0]), "cell"))


def test_a_damaged_cell_is_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"^cells/1: not a cell of a comparison \(.*\); remove it, so that"):
        read_cell(b"garbage", "cells/1")


def test_a_failed_cell_takes_its_seed_from_the_verdict_and_nothing_else(fake: FakeTraining) -> None:
    whole = judged(sorted(finished(), key=lambda cell: cell.result.seed), tiny("segmenter"), CLASSES)
    lacking = [cell for cell in finished() if (cell.result.arm, cell.result.seed) != (BASE, 1)]
    failed = FailedCell(arm=BASE, seed=1, reason="The loss is not finite.")
    result = judged(lacking, tiny("segmenter"), CLASSES, [failed])
    assert (result.verdicts[GENERATED].seeds, whole.verdicts[GENERATED].seeds) == (2, 3)
    assert result.pixel_ap[GENERATED] == whole.pixel_ap[GENERATED]
    assert result.failed == (failed,)
    without_base = [cell for cell in lacking if cell.result.arm != BASE]
    assert judged(without_base, tiny("segmenter"), CLASSES).verdicts == {}
    assert judged([], tiny("segmenter"), CLASSES).cells == ()


def test_more_steps_of_the_same_detector_are_judged_arm_by_arm_in_pairs(fake: FakeTraining) -> None:
    shorter = sorted(finished(), key=lambda cell: cell.result.seed)
    fake.skill["real"] = 0.95
    longer = sorted(finished(), key=lambda cell: cell.result.seed)
    found = judged(longer, tiny("segmenter"), CLASSES, shorter=(20, shorter)).more_steps
    assert found is not None and found.fewer == 20
    assert {arm: verdict.word for arm, verdict in found.verdicts.items()} == {BASE: "helps", GENERATED: "undecided"}
    assert found.verdicts[GENERATED].difference == 0
    lacking = [cell for cell in shorter if cell.result.seed != 1]
    fewer = judged(longer, tiny("segmenter"), CLASSES, shorter=(20, lacking)).more_steps
    assert fewer is not None and fewer.verdicts[BASE].seeds == 2
    assert judged(longer, tiny("segmenter"), CLASSES).more_steps is None


def test_each_class_has_a_score_of_its_own(fake: FakeTraining) -> None:
    """The stand-in knows holes alone, and says of both classes what it thinks of holes."""
    rivet = Sample("v", np.full((64, 64), 80, np.uint8), {"rivet": bright_square("v").masks["hole"]})
    test, groups = [*material().test, rivet], [f"p{i}" for i in range(8)]
    [cell] = compared([], seeds=1, classes=("hole", "rivet", "dent"), test=test, groups=groups).cells
    hole, other = cell.class_pixel_ap["hole"], cell.class_pixel_ap["rivet"]
    assert hole is not None and other is not None and hole > 2 * other > 0
    assert cell.class_pixel_ap["dent"] is None
    assert cell.scores.per_class["rivet"].instances == 1


@pytest.mark.parametrize("name", DETECTORS)
def test_cells_of_one_seed_begin_alike_and_every_step_is_reported(name: str) -> None:
    steps: list[CellProgress] = []
    config = tiny(name)
    result = compare_arms([GENERATED], 1, material(), config, on_progress=steps.append)
    assert [(one.arm, one.cell, one.step) for one in steps] == [
        ("none", 1, 1), ("none", 1, 2), (GENERATED, 2, 1), (GENERATED, 2, 2),
    ]  # fmt: skip
    assert {(one.cells, one.steps) for one in steps} == {(2, 2)}
    assert [one.loss for one in steps] == [loss for cell in result.cells for loss in cell.losses]
    again = compare_arms([GENERATED], 1, material(), config)
    assert again == result
    has_masks = DETECTORS[name].has_masks
    assert [cell.pixels is not None for cell in result.cells] == [has_masks] * 2
    assert (result.verdicts != {}) == (result.pixel_ap != {}) == has_masks


def test_a_detector_takes_its_own_defaults_where_nothing_was_given(fake: FakeTraining) -> None:
    config = compare_arms([], 1, material(), DetectorConfig(name="segmenter", batch_size=3)).config
    defaults = DETECTORS["segmenter"].defaults
    assert (config.steps, config.batch_size) == (defaults["steps"], 3)
    assert defaults["steps"] != DetectorConfig().steps


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"real": [normal("x")]}, "the 1 real training images have no anomaly of hole"),
        ({"test": [normal("x")], "groups": ["p"]}, "the 1 real test images have no anomaly of hole"),
        ({"added": {ALONE: [normal("x")]}}, "the 1 generated images have no anomaly of hole"),
    ],
)
def test_a_set_without_an_anomaly_is_refused_by_its_name(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=what):
        compared([GENERATED], **changes)


def test_pictures_that_were_not_given_are_refused_with_those_that_were(fake: FakeTraining) -> None:
    with pytest.raises(UsageError, match="no pictures of generated:other were given, only of flips, gen"):
        compared(["generated:other"])
    assert not fake.shown
