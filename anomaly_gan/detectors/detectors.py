"""The list of detectors that an evaluation can train; each is imported only when it is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anomaly_gan.lists import find


@dataclass(frozen=True)
class Detector:
    """A detector of torchvision's kind: takes and gives what torchvision's Mask R-CNN does.

    Attributes:
        title: how a report names it.
        builder: "module:function" that takes what `build_detector` takes and gives the network.
        has_masks: it finds masks, not boxes alone; else mask AP and mIoU are not measured.
        has_backbone: it reads the knobs `backbone` and `weights`.
        defaults: dotted key below `detector` -> the value that it takes where the user gives none.
    """

    title: str
    builder: str
    has_masks: bool
    has_backbone: bool = True
    defaults: Mapping[str, Any] = field(default_factory=dict)


DETECTORS: dict[str, Detector] = {
    "mask_rcnn": Detector("Mask R-CNN", "anomaly_gan.detectors.mask_rcnn:build", has_masks=True),
    "faster_rcnn": Detector("Faster R-CNN", "anomaly_gan.detectors.faster_rcnn:build", has_masks=False),
    "mask_scoring_rcnn": Detector(
        "Mask Scoring R-CNN", "anomaly_gan.detectors.mask_scoring_rcnn:build", has_masks=True
    ),
    "retinanet": Detector(
        "RetinaNet", "anomaly_gan.detectors.retinanet:build", has_masks=False, defaults={"steps": 1000}
    ),
    "queryinst": Detector(
        "QueryInst",
        "anomaly_gan.detectors.queryinst:build",
        has_masks=True,
        defaults={"steps": 1000},
    ),
    "mask2former": Detector(
        "Mask2Former",
        "anomaly_gan.detectors.mask2former:build",
        has_masks=True,
        defaults={"steps": 1000},
    ),
    "segmenter": Detector(
        "Segmenter",
        "anomaly_gan.detectors.segmenter:build",
        has_masks=True,
        has_backbone=False,
        defaults={"steps": 400, "batch_size": 8, "learning_rate": 2e-3, "warmup_steps": 20},
    ),
}
"""Name in the spec -> detector."""


def find_detector(name: str) -> Detector:
    """The detector of a name.

    Raises:
        UsageError: there is no such detector.
    """
    return find(DETECTORS, name, "detector.name: unknown detector")
