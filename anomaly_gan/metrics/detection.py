"""Scores of an instance detector on a test set: box AP, mask AP (COCO) and mIoU (paper, Eq. 11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from faster_coco_eval.core import mask as rle
from numpy.typing import NDArray

from anomaly_gan.records import Record
from infra.errors import DataError


@dataclass(frozen=True)
class Instances:
    """The annotated anomalies of one image.

    Attributes:
        boxes: [n, 4] float32, x1 y1 x2 y2 in pixels; the last row and column are inside, so x2 = column + 1.
        labels: [n] int64, 1..K in the order of the classes; 0 is the background.
        masks: [n, H, W] uint8 {0, 1}; H and W are the image's also where n = 0.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]


@dataclass(frozen=True)
class Detections:
    """What a detector found in one image.

    Attributes:
        boxes: as those of `Instances`.
        labels: as those of `Instances`.
        masks: as those of `Instances`; None where the detector finds boxes alone.
        scores: [n] float32, 0..1.
        maps: [K, H, W] float32, 0..1: the probability that a pixel is of class k + 1; None where the detector finds
            boxes alone.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8] | None
    scores: NDArray[np.float32]
    maps: NDArray[np.float32] | None = None


class ClassScores(Record):
    """Scores of one class, 0..1; None where the test set has no instance of it, or the detector finds no masks."""

    box_ap: float | None
    box_ap50: float | None
    mask_ap: float | None = None
    mask_ap50: float | None = None
    iou: float | None = None
    instances: int


class DetectionScores(Record):
    """Scores of one detector on one test set, 0..1, means over the classes the test set has.

    Attributes:
        box_ap: COCO average precision, mean over IoU 0.50:0.05:0.95, 101 recall points, 100 detections.
        mask_ap: the same of masks; None, as all scores of masks, where the detector finds boxes alone.
        miou: mean of the classes' IoU, see `pixel_iou`.
        images: test images; with `instances` the size of the evidence.
    """

    box_ap: float
    box_ap50: float
    mask_ap: float | None = None
    mask_ap50: float | None = None
    miou: float | None = None
    per_class: dict[str, ClassScores]
    images: int
    instances: int


def detection_scores(
    predictions: Sequence[Detections],
    targets: Sequence[Instances],
    classes: Sequence[str],
    score_threshold: float = 0.5,
) -> DetectionScores:
    """Score predictions against annotations, image by image in the same order.

    Args:
        predictions: one `Detections` per image; keep low scores, AP needs them.
        targets: one `Instances` per image.
        classes: names of labels 1..K.
        score_threshold: detections below it do not count as predicted pixels in the IoU; AP ignores it.

    Raises:
        DataError: numbers of images differ, or the targets hold no instance at all.
    """
    if len(predictions) != len(targets):
        raise DataError(f"detections of {len(predictions)} images for {len(targets)} annotated images")
    counts = np.bincount(np.concatenate([[0], *(each.labels for each in targets)]), minlength=len(classes) + 1)[1:]
    if not counts.any():
        raise DataError("the test images have no annotated anomaly; detection scores need at least one")
    columns = _class_scores(predictions, targets, classes, score_threshold)
    present = counts > 0
    means = {column: fmean(values[present]) for column, values in columns.items()}
    per_class = {
        name: ClassScores(
            **{column: float(values[i]) if present[i] else None for column, values in columns.items()},
            instances=int(counts[i]),
        )
        for i, name in enumerate(classes)
    }
    return DetectionScores(
        miou=means.pop("iou", None),
        **means,
        per_class=per_class,
        images=len(targets),
        instances=int(counts.sum()),
    )


def _class_scores(
    predictions: Sequence[Detections], targets: Sequence[Instances], classes: Sequence[str], score_threshold: float
) -> dict[str, NDArray[np.float64]]:
    """Score -> [K]; those of masks are missing where the detector finds boxes alone."""
    truth, found = _coco(predictions, targets, classes)
    box_ap, box_ap50 = _average_precision(truth, found, "bbox")
    if any(each.masks is None for each in predictions):
        return {"box_ap": box_ap, "box_ap50": box_ap50}
    mask_ap, mask_ap50 = _average_precision(truth, found, "segm")
    return {
        "box_ap": box_ap,
        "box_ap50": box_ap50,
        "mask_ap": mask_ap,
        "mask_ap50": mask_ap50,
        "iou": pixel_iou(predictions, targets, len(classes), score_threshold),
    }


def pixel_iou(
    predictions: Sequence[Detections], targets: Sequence[Instances], n_classes: int, score_threshold: float
) -> NDArray[np.float64]:
    """IoU of every class over the pixels of the whole test set (paper, Eq. 11, taken class by class).

    All predictions have masks.

    P_ij counts pixels of class i predicted as j; class i scores P_ii / (sum_j P_ij + sum_j P_ji - P_ii), with
    both sums over all test images. A pixel is predicted as the class of the highest-scoring detection of at
    least `score_threshold` that covers it, else as background. The background has no IoU of its own (ours:
    at 99 % of the pixels it would lift every mean towards 1/2), its confusions count in the classes'.

    Returns:
        [K], 0..1; 0 for a class that is neither annotated nor predicted.
    """
    intersection = np.zeros(n_classes)
    union = np.zeros(n_classes)
    for found, truth in zip(predictions, targets, strict=True):
        assert found.masks is not None
        predicted = np.zeros(truth.masks.shape[1:], np.int64)
        for i in np.argsort(found.scores, kind="stable"):
            if found.scores[i] >= score_threshold:
                predicted[found.masks[i] > 0] = found.labels[i]
        for label in range(1, n_classes + 1):
            annotated = truth.masks[truth.labels == label].any(axis=0)
            intersection[label - 1] += np.count_nonzero(annotated & (predicted == label))
            union[label - 1] += np.count_nonzero(annotated | (predicted == label))
    return np.divide(intersection, union, out=np.zeros(n_classes), where=union > 0)


def _coco(predictions: Sequence[Detections], targets: Sequence[Instances], classes: Sequence[str]) -> tuple[COCO, COCO]:
    annotations = [
        {**each, "id": number, "iscrowd": 0}
        for number, each in enumerate(
            (each for image, truth in enumerate(targets) for each in _records(image, truth)), start=1
        )
    ]
    truth = COCO(
        {
            "images": [
                {"id": image, "height": each.masks.shape[1], "width": each.masks.shape[2]}
                for image, each in enumerate(targets)
            ],
            "categories": [{"id": label, "name": name} for label, name in enumerate(classes, start=1)],
            "annotations": annotations,
        }
    )
    found = [
        {**record, "score": float(score)}
        for image, each in enumerate(predictions)
        for record, score in zip(_records(image, each), each.scores, strict=True)
    ]
    return truth, truth.loadRes(found)


def _records(image: int, instances: Instances | Detections) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for i, (box, label) in enumerate(zip(instances.boxes, instances.labels, strict=True)):
        x1, y1, x2, y2 = (float(value) for value in box)
        record = {"image_id": image, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1]}
        if instances.masks is None:
            records.append(record | {"area": (x2 - x1) * (y2 - y1)})
        else:
            mask = instances.masks[i]
            encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
            records.append(record | {"area": float(np.count_nonzero(mask)), "segmentation": encoded})
    return records


def _average_precision(
    truth: COCO, found: COCO, kind: Literal["bbox", "segm"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[K] AP over IoU 0.50:0.95 and [K] AP at IoU 0.50; -1 for a class without annotated instance."""
    evaluation = COCOeval_faster(truth, found, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    # Axes: IoU threshold, recall point, class, area range (0 = all), detections per image (-1 = 100).
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return precision.mean(axis=(0, 1)), precision[0].mean(axis=0)
