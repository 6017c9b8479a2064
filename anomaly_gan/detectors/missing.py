"""How much of the anomalies of a picture a detector misses, and how often it is to be shown for it."""

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.metrics.detection import Detections, Instances

EVEN = 0.5
"""Share of the chances that all pictures have alike: what is found wholly is shown half as often as before."""


def missed(found: Detections, truth: Instances) -> float:
    """Share of a picture's anomalies that a detector misses, each of them counted alike: 0 = none, 1 = all.

    Of an anomaly it is 1 less the mean probability of its pixels. A detector that finds boxes alone has found as much
    of it as the best of its boxes of that class, score times IoU. Nothing is missed where there is no anomaly.
    """
    if not len(truth.labels):
        return 0.0
    if found.maps is None:
        of_each = [_found_by_boxes(found, *one) for one in zip(truth.labels, truth.boxes, strict=True)]
    else:
        planes = found.maps[truth.labels - 1]
        of_each = [float(plane[mask > 0].mean()) for plane, mask in zip(planes, truth.masks, strict=True)]
    return float(1 - np.mean(of_each))


def _found_by_boxes(found: Detections, label: np.int64, box: NDArray[np.float32]) -> float:
    its = found.labels == label
    return float((found.scores[its] * _iou(box, found.boxes[its])).max(initial=0.0))


def chances(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each picture is shown: in part all alike, for the rest in proportion to what is missed of it.

    Args:
        shares: [N], 0..1, of each picture, as `missed` gives it.

    Returns:
        [N], all above 0; they add up to 1.
    """
    even, total = np.full(len(shares), 1 / len(shares)), shares.sum()
    return even if total == 0 else EVEN * even + (1 - EVEN) * shares / total


def _iou(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """[4] and [n, 4] -> [n]"""
    corners = boxes.astype(np.float64)
    sides = np.minimum(box[2:], corners[:, 2:]) - np.maximum(box[:2], corners[:, :2])
    common = sides.clip(min=0).prod(axis=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) + float((box[2:] - box[:2]).prod())
    overlaps: NDArray[np.float64] = common / (areas - common)
    return overlaps
