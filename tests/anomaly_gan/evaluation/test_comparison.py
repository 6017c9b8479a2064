"""The comparison of a detector without and with generated images."""

import numpy as np
import pytest

from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.evaluation.comparison import ArmProgress, DetectorComparison, compare_detectors
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, UsageError
from tests.support.builders_detectors import TINY, bright_square, tiny


@pytest.mark.parametrize("name", DETECTORS)
def test_both_arms_run_the_same_steps_and_end_with_their_scores_and_counts(name: str) -> None:
    steps: list[ArmProgress] = []
    result = compare_detectors(
        real_train=[bright_square("a")],
        generated=[bright_square("b", top=30), bright_square("c", left=40)],
        real_test=[bright_square("d", top=20)],
        classes=["hole"],
        config=tiny(name),
        on_progress=steps.append,
    )
    assert [(each.arm, each.step) for each in steps] == [
        ("real", 1),
        ("real", 2),
        ("real+generated", 1),
        ("real+generated", 2),
    ]
    assert {each.steps for each in steps} == {2}
    assert [each.loss for each in steps] == [*result.real.losses, *result.real_and_generated.losses]
    assert (result.real.real_images, result.real.generated_images) == (1, 0)
    assert (result.real_and_generated.real_images, result.real_and_generated.generated_images) == (1, 2)
    assert result.real.images_shown == result.real_and_generated.images_shown == 4
    assert result.real.scores.instances == 1
    assert DetectorComparison.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize(("name", "measured"), [("mask_rcnn", True), ("faster_rcnn", False), ("segmenter", True)])
def test_scores_of_masks_are_none_and_never_0_where_the_detector_finds_boxes_alone(name: str, measured: bool) -> None:
    config = tiny(name)
    result = compare_detectors(
        real_train=[bright_square("a")],
        generated=[bright_square("b")],
        real_test=[bright_square("c")],
        classes=["hole"],
        config=config,
    )
    for arm in (result.real, result.real_and_generated):
        of_masks = (arm.scores.mask_ap, arm.scores.mask_ap50, arm.scores.miou)
        of_class = (arm.scores.per_class["hole"].mask_ap, arm.scores.per_class["hole"].iou)
        assert [score is not None for score in (*of_masks, *of_class)] == [measured] * 5
        assert 0 <= arm.scores.box_ap <= 1


def test_a_comparison_names_the_set_that_has_no_anomaly() -> None:
    normal = Sample("n", np.full((64, 64), 80, np.uint8))
    with pytest.raises(DataError, match="the 1 real test images have no anomaly of hole"):
        compare_detectors(
            real_train=[bright_square("a")],
            generated=[bright_square("b")],
            real_test=[normal],
            classes=["hole"],
            config=TINY,
        )


def test_an_unknown_detector_is_refused_before_any_is_trained() -> None:
    with pytest.raises(UsageError, match="unknown detector, got 'yolo'"):
        compare_detectors(
            real_train=[bright_square("a")],
            generated=[bright_square("b")],
            real_test=[bright_square("c")],
            classes=["hole"],
            config=tiny("yolo"),
        )


def test_a_comparison_that_was_written_before_detectors_had_names_is_read() -> None:
    scores = {"box_ap": 0.5, "box_ap50": 0.6, "mask_ap": 0.4, "mask_ap50": 0.5, "images": 2, "instances": 3}
    each = {"box_ap": 0.5, "box_ap50": 0.6, "mask_ap": 0.4, "mask_ap50": 0.5, "iou": 0.3, "instances": 3}
    arm = {"real_images": 2, "generated_images": 0, "steps": 1, "images_shown": 4, "losses": [1.5]}
    arm |= {"scores": {**scores, "miou": 0.3, "per_class": {"hole": each}}}
    written = {
        "real": {"arm": "real", **arm},
        "real_and_generated": {"arm": "real+generated", **arm},
        "classes": ["hole"],
        "config": {"steps": 1, "seed": 3},
    }
    read = DetectorComparison.model_validate(written)
    assert (read.config.name, read.config.seed, read.real.scores.miou) == ("mask_rcnn", 3, 0.3)
