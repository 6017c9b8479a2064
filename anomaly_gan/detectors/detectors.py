"""The list of detectors that an evaluation can train; each is imported only when it is built."""

from dataclasses import dataclass

from anomaly_gan.lists import find


@dataclass(frozen=True)
class Detector:
    """A detector of torchvision's kind: takes and gives what torchvision's Mask R-CNN does.

    Attributes:
        title: how a report names it.
        builder: "module:function" that takes what `build_detector` takes and gives the network.
        has_masks: it finds masks, not boxes alone; else mask AP and mIoU are not measured.
    """

    title: str
    builder: str
    has_masks: bool


DETECTORS: dict[str, Detector] = {
    "mask_rcnn": Detector("Mask R-CNN", "anomaly_gan.detectors.mask_rcnn:build", has_masks=True),
    "faster_rcnn": Detector("Faster R-CNN", "anomaly_gan.detectors.faster_rcnn:build", has_masks=False),
}
"""Name in the spec -> detector."""


def find_detector(name: str) -> Detector:
    """The detector of a name.

    Raises:
        UsageError: there is no such detector.
    """
    return find(DETECTORS, name, "detector.name: unknown detector")
