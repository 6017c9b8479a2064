"""What a detector misses of a picture, and how often the picture is shown for it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.detectors.missing import chances, missed
from anomaly_gan.metrics.detection import Detections, Instances

EMPTY = Instances(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((0, 4, 8), np.uint8))


def truth() -> Instances:
    """A large anomaly of class 1 and a small one of class 2, 4 x 8 px."""
    masks = np.zeros((2, 4, 8), np.uint8)
    masks[0, :, :4], masks[1, 0, 6:] = 1, 1
    return Instances(np.array([[0, 0, 4, 4], [6, 0, 8, 1]], np.float32), np.array([1, 2]), masks)


def detections(
    boxes: list[list[float]], labels: list[int], scores: list[float], maps: NDArray[np.float32] | None = None
) -> Detections:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(array, np.array(labels, np.int64), None, np.array(scores, np.float32), maps)


def test_each_anomaly_counts_alike_by_the_mean_probability_of_its_pixels() -> None:
    maps = np.zeros((2, 4, 8), np.float32)
    maps[0, :2, :4] = 1.0  # half of the large one
    maps[1, 0, 6:] = 0.75
    maps[0, 0, 6:] = 1.0  # of the other class, which helps nothing
    assert missed(detections([], [], [], maps), truth()) == pytest.approx(1 - (0.5 + 0.75) / 2)
    assert missed(detections([], [], [], np.zeros((2, 4, 8), np.float32)), truth()) == 1
    assert missed(detections([], [], [], np.ones((2, 4, 8), np.float32)), truth()) == 0


def test_boxes_find_as_much_as_the_best_of_their_class_by_score_and_overlap() -> None:
    found = detections([[0, 0, 4, 2], [0, 0, 4, 4], [6, 0, 8, 1], [0, 0, 8, 4]], [1, 1, 1, 2], [0.8, 0.3, 1.0, 0.5])
    # class 1: .8 of half its box beats .3 of the whole; class 2: 2 px of the 32 of its only box
    assert missed(found, truth()) == pytest.approx(1 - (0.4 + 0.5 * 2 / 32) / 2)
    assert missed(detections([], [], []), truth()) == 1


def test_nothing_is_missed_where_there_is_no_anomaly() -> None:
    assert missed(detections([[0, 0, 4, 4]], [1], [0.9]), EMPTY) == 0


def test_chances_grow_with_what_is_missed_and_are_never_below_half_of_an_even_one() -> None:
    found = chances(np.array([0.0, 0.2, 0.6, 0.0]))
    assert found == pytest.approx([1 / 8, 1 / 8 + 1 / 8, 1 / 8 + 3 / 8, 1 / 8])
    assert chances(np.zeros(2)).tolist() == chances(np.full(2, 0.7)).tolist() == [0.5, 0.5]
