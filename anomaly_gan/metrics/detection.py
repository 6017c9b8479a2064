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
        miou: mean of the classes' IoU, see `DetectionCounter`.
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


class DetectionCounter:
    """Takes one image after the other, and keeps of its masks what the scores need: whole frames are large."""

    def __init__(self, classes: Sequence[str], score_threshold: float = 0.5) -> None:
        """
        Args:
            classes: names of labels 1..K.
            score_threshold: detections below it do not count as predicted pixels in the IoU; AP takes all of them.
        """
        self._classes, self._threshold = classes, score_threshold
        self._images: list[dict[str, int]] = []
        self._annotations: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._has_masks = True
        self._intersection, self._union = np.zeros(len(classes)), np.zeros(len(classes))

    def add(self, found: Detections, truth: Instances) -> None:
        """Count what was found in an image, and what is annotated in it."""
        image = len(self._images)
        height, width = truth.masks.shape[1:]
        self._images.append({"id": image, "height": height, "width": width})
        for record in _records(image, truth):
            self._annotations.append({**record, "id": len(self._annotations) + 1, "iscrowd": 0})
        for record, score in zip(_records(image, found), found.scores, strict=True):
            self._found.append({**record, "score": float(score)})
        if found.masks is None:
            self._has_masks = False
        else:
            self._count_pixels(found, found.masks, truth)

    def _count_pixels(self, found: Detections, masks: NDArray[np.uint8], truth: Instances) -> None:
        """For the IoU of every class over the pixels of the whole test set (paper, Eq. 11, taken class by class).

        P_ij counts pixels of class i predicted as j; class i scores P_ii / (sum_j P_ij + sum_j P_ji - P_ii), with
        both sums over all test images. A pixel is predicted as the class of the highest-scoring detection of at
        least the threshold that covers it, else as background. The background has no IoU of its own (ours: at 99 %
        of the pixels it would lift every mean towards 1/2), its confusions count in the classes'.
        """
        predicted = np.zeros(truth.masks.shape[1:], np.int64)
        for i in np.argsort(found.scores, kind="stable"):
            if found.scores[i] >= self._threshold:
                predicted[masks[i] > 0] = found.labels[i]
        for label in range(1, len(self._classes) + 1):
            annotated = truth.masks[truth.labels == label].any(axis=0)
            self._intersection[label - 1] += np.count_nonzero(annotated & (predicted == label))
            self._union[label - 1] += np.count_nonzero(annotated | (predicted == label))

    def scores(self) -> DetectionScores:
        """The scores of all images so far.

        Raises:
            DataError: none of them has an annotated instance.
        """
        labels = [record["category_id"] for record in self._annotations]
        counts = np.bincount([0, *labels], minlength=len(self._classes) + 1)[1:]
        if not counts.any():
            raise DataError("the test images have no annotated anomaly; detection scores need at least one")
        columns = self._class_scores()
        present = counts > 0
        means = {column: fmean(values[present]) for column, values in columns.items()}
        per_class = {
            name: ClassScores(
                **{column: float(values[i]) if present[i] else None for column, values in columns.items()},
                instances=int(counts[i]),
            )
            for i, name in enumerate(self._classes)
        }
        return DetectionScores(
            miou=means.pop("iou", None),
            **means,
            per_class=per_class,
            images=len(self._images),
            instances=int(counts.sum()),
        )

    def _class_scores(self) -> dict[str, NDArray[np.float64]]:
        """Score -> [K]; those of masks are missing where the detector finds boxes alone."""
        categories = [{"id": label, "name": name} for label, name in enumerate(self._classes, start=1)]
        truth = COCO({"images": self._images, "categories": categories, "annotations": self._annotations})
        found = truth.loadRes(self._found)
        box_ap, box_ap50 = _average_precision(truth, found, "bbox")
        if not self._has_masks:
            return {"box_ap": box_ap, "box_ap50": box_ap50}
        mask_ap, mask_ap50 = _average_precision(truth, found, "segm")
        iou = np.divide(self._intersection, self._union, out=np.zeros_like(self._union), where=self._union > 0)
        return {"box_ap": box_ap, "box_ap50": box_ap50, "mask_ap": mask_ap, "mask_ap50": mask_ap50, "iou": iou}


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
