"""Our average precision of a trained detector's predictions, against pycocotools."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.targets import to_instances
from anomaly_gan.detectors.training import predict, train_detector
from anomaly_gan.metrics.detection import Detections, Instances
from anomaly_gan.samples.sample import Sample
from tests.support.builders_detectors import bright_square, detection_scores, tiny

CLASSES = ["hole", "crack"]


def coco_records(found: Instances | Detections, picture: int) -> list[dict[str, Any]]:
    """As a user would write them into a COCO file."""
    assert found.masks is not None
    records = []
    for i, (x1, y1, x2, y2) in enumerate(found.boxes.astype(float).tolist()):
        mask = rle.encode(np.asfortranarray(found.masks[i]))
        record = {
            "image_id": picture,
            "category_id": int(found.labels[i]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "segmentation": mask,
            "area": float(rle.area(mask)),
            "iscrowd": 0,
        }
        records.append(record | ({"score": float(found.scores[i])} if isinstance(found, Detections) else {}))
    return records


def coco_scores(
    predictions: Sequence[Detections], targets: Sequence[Instances], kind: str
) -> tuple[float, float, list[float]]:
    """(AP, AP at IoU .5, AP of each class) by pycocotools."""
    truth = COCO()
    annotations = [record for i, target in enumerate(targets) for record in coco_records(target, i)]
    truth.dataset = {
        "info": {},
        "images": [{"id": i, "height": 64, "width": 64} for i in range(len(targets))],
        "categories": [{"id": 1, "name": "hole"}, {"id": 2, "name": "crack"}],
        "annotations": [record | {"id": number} for number, record in enumerate(annotations, start=1)],
    }
    truth.createIndex()
    found = truth.loadRes([record for i, each in enumerate(predictions) for record in coco_records(each, i)])
    evaluation = COCOeval(truth, found, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    per_class = evaluation.eval["precision"][:, :, :, 0, -1].mean((0, 1))
    return evaluation.stats[0], evaluation.stats[1], per_class.tolist()


def pictures() -> list[Sample]:
    """Holes are bright, cracks dark; two of each picture's six are found easily, and sizes differ."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(6):
        top, left = (int(value) for value in rng.integers(2, 30, 2))
        square = bright_square(f"{number}", top=top, left=left, side=10 + 4 * number)
        kind = CLASSES[number % 2]
        image = np.where(square.masks["hole"] > 0, 200 if kind == "hole" else 20, square.image).astype(np.uint8)
        samples.append(Sample(square.key, image, {kind: square.masks["hole"]}))
    return samples


def test_scores_of_a_trained_detector_are_those_of_pycocotools() -> None:
    config = tiny("mask_rcnn", steps=30, warmup_steps=5, box_samples=32, rpn_proposals=64)
    model = build_detector(2, config)
    samples = pictures()
    for _ in train_detector(model, [Stream("all", 1.0, samples)], CLASSES, config):
        pass
    predictions = list(predict(model, samples, CLASSES, has_masks=True))
    targets = [to_instances(sample, CLASSES) for sample in samples]
    scores = detection_scores(predictions, targets, CLASSES)
    of_classes = [scores.per_class[name] for name in CLASSES]
    box_ap, box_ap50, per_class = coco_scores(predictions, targets, "bbox")
    assert 0.02 < box_ap < box_ap50 < 1  # neither perfect nor useless: a case that can tell
    assert (scores.box_ap, scores.box_ap50) == pytest.approx((box_ap, box_ap50), abs=1e-9)
    assert [each.box_ap for each in of_classes] == pytest.approx(per_class, abs=1e-9)
    mask_ap, mask_ap50, per_class = coco_scores(predictions, targets, "segm")
    assert 0.02 < mask_ap < mask_ap50 < 1
    assert (scores.mask_ap, scores.mask_ap50) == pytest.approx((mask_ap, mask_ap50), abs=1e-9)
    assert [each.mask_ap for each in of_classes] == pytest.approx(per_class, abs=1e-9)
