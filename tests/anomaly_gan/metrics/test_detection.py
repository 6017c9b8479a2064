"""Detection scores: perfect, empty and hand-computed cases."""

from dataclasses import replace

import numpy as np
import pytest

from anomaly_gan.metrics.detection import Detections, Instances
from infra.errors import DataError
from tests.support.builders_detectors import detection_scores

Box = tuple[int, int, int, int]


def boxed(boxes: list[Box], labels: list[int], size: int = 40) -> Instances:
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return Instances(np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), masks)


def detected(boxes: list[Box], labels: list[int], scores: list[float]) -> Detections:
    found = boxed(boxes, labels)
    return Detections(found.boxes, found.labels, found.masks, np.array(scores, np.float32))


def test_perfect_predictions_score_one() -> None:
    boxes: list[list[Box]] = [[(2, 2, 12, 12), (20, 5, 30, 25)], [], [(0, 0, 40, 8)]]
    labels = [[1, 2], [], [1]]
    targets = [boxed(b, names) for b, names in zip(boxes, labels, strict=True)]
    predictions = [detected(b, names, [0.9] * len(b)) for b, names in zip(boxes, labels, strict=True)]
    scores = detection_scores(predictions, targets, ["crack", "hole"])
    assert (scores.box_ap, scores.box_ap50, scores.mask_ap, scores.mask_ap50, scores.miou) == (1, 1, 1, 1, 1)
    assert (scores.images, scores.instances) == (3, 3)
    assert scores.per_class["crack"].instances == 2
    assert scores.per_class["hole"].iou == 1


def test_no_predictions_score_zero() -> None:
    scores = detection_scores([detected([], [], [])], [boxed([(2, 2, 12, 12)], [1])], ["crack"])
    assert (scores.box_ap, scores.mask_ap50, scores.miou) == (0, 0, 0)


def test_scores_of_a_hand_computed_case() -> None:
    # One of two anomalies is found, 8 of its 10 columns: IoU 0.8 counts at the 7 thresholds 0.50..0.80.
    # Recall stops at 1/2, so 51 of the 101 recall points have precision 1: AP50 = 51/101, AP = 7/10 of it.
    targets = [boxed([(0, 0, 10, 10), (20, 20, 30, 30)], [1, 1])]
    predictions = [detected([(0, 0, 8, 10)], [1], [0.9])]
    scores = detection_scores(predictions, targets, ["crack"])
    assert scores.box_ap50 == pytest.approx(51 / 101)
    assert scores.mask_ap50 == pytest.approx(51 / 101)
    assert scores.box_ap == pytest.approx(0.7 * 51 / 101)
    assert scores.mask_ap == pytest.approx(0.7 * 51 / 101)
    assert scores.miou == pytest.approx(80 / 200)


def test_iou_is_accumulated_over_the_whole_test_set_not_averaged_over_images() -> None:
    targets = [boxed([(0, 0, 30, 30)], [1]), boxed([(0, 0, 10, 10)], [1])]
    predictions = [detected([(0, 0, 30, 30)], [1], [0.9]), detected([], [], [])]
    assert detection_scores(predictions, targets, ["crack"]).miou == pytest.approx(900 / 1000)


def test_iou_counts_pixels_given_to_another_class_against_both() -> None:
    targets = [boxed([(0, 0, 10, 10), (20, 0, 30, 10)], [1, 2])]
    predictions = [detected([(0, 0, 10, 10), (20, 0, 25, 10), (25, 0, 30, 10)], [1, 2, 1], [0.9, 0.9, 0.9])]
    scores = detection_scores(predictions, targets, ["crack", "hole"])
    assert scores.per_class["crack"].iou == pytest.approx(100 / 150)
    assert scores.per_class["hole"].iou == pytest.approx(50 / 100)
    assert scores.miou == pytest.approx((100 / 150 + 50 / 100) / 2)


def test_where_detections_overlap_the_higher_score_names_the_pixel() -> None:
    targets = [boxed([(0, 0, 10, 10)], [2])]
    predictions = [detected([(0, 0, 10, 10), (0, 0, 10, 10)], [2, 1], [0.9, 0.6])]
    assert detection_scores(predictions, targets, ["crack", "hole"]).per_class["hole"].iou == 1


def test_low_scores_count_for_ap_and_not_for_iou() -> None:
    targets = [boxed([(0, 0, 10, 10)], [1])]
    predictions = [detected([(0, 0, 10, 10)], [1], [0.2])]
    scores = detection_scores(predictions, targets, ["crack"])
    assert scores.box_ap == 1
    assert scores.miou == 0


def test_a_class_without_test_instance_has_no_score_and_no_part_in_the_means() -> None:
    targets = [boxed([(0, 0, 10, 10)], [1])]
    predictions = [detected([(0, 0, 10, 10), (20, 20, 30, 30)], [1, 2], [0.9, 0.9])]
    scores = detection_scores(predictions, targets, ["crack", "hole"])
    assert scores.box_ap == 1
    assert scores.miou == 1
    assert scores.per_class["hole"].box_ap is None
    assert scores.per_class["hole"].iou is None


def test_a_test_set_without_anomalies_is_refused() -> None:
    with pytest.raises(DataError, match="no annotated anomaly"):
        detection_scores([detected([], [], [])], [boxed([], [])], ["crack"])


def test_a_detector_of_boxes_is_scored_by_its_boxes_and_by_nothing_else() -> None:
    targets = [boxed([(0, 0, 10, 10), (20, 20, 30, 30)], [1, 1]), boxed([], [])]
    found, none = detected([(0, 0, 8, 10)], [1], [0.9]), detected([], [], [])
    predictions = [replace(found, masks=None), replace(none, masks=None)]
    scores = detection_scores(predictions, targets, ["crack"])
    assert scores.box_ap50 == pytest.approx(51 / 101)
    assert scores.box_ap == pytest.approx(0.7 * 51 / 101)
    assert (scores.mask_ap, scores.mask_ap50, scores.miou) == (None, None, None)
    each = scores.per_class["crack"]
    assert (each.box_ap, each.mask_ap, each.mask_ap50, each.iou) == (scores.box_ap, None, None, None)
