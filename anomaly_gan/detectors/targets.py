"""Sample -> annotated instances -> tensors of torchvision's detectors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.metrics.detection import Instances
from anomaly_gan.samples.instances import instance_masks
from anomaly_gan.samples.sample import Sample, to_planes

MIN_INSTANCE_PX = 4
"""A part of fewer pixels is an artefact of thresholding or resizing, not an anomaly to be found."""


def to_instances(sample: Sample, classes: Sequence[str]) -> Instances:
    """The sample's anomalies, one by one: as its annotation names them, else every 8-connected part of a mask.

    Args:
        classes: names of labels 1..K; anomalies of other classes are left out.
    """
    masks: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for label, name in enumerate(classes, start=1):
        for mask in instance_masks(sample, name) if name in sample.masks else ():
            if np.count_nonzero(mask) >= MIN_INSTANCE_PX:
                masks.append(mask)
                labels.append(label)
    height, width = sample.image.shape[:2]
    stacked = np.stack(masks) if masks else np.zeros((0, height, width), np.uint8)
    boxes = np.array([_box(mask) for mask in masks], np.float32).reshape(-1, 4)
    return Instances(boxes, np.array(labels, np.int64), stacked)


def to_image(sample: Sample) -> Tensor:
    """[3, H, W] float32 0..1, as torchvision's detectors take it."""
    return torch.from_numpy(to_planes(sample.image)).float() / 255


def to_target(instances: Instances) -> dict[str, Tensor]:
    """boxes [n, 4] float32, labels [n] int64, masks [n, H, W] uint8, as torchvision's detectors take them."""
    return {
        "boxes": torch.from_numpy(instances.boxes),
        "labels": torch.from_numpy(instances.labels),
        "masks": torch.from_numpy(instances.masks),
    }


def _box(mask: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """x1 y1 x2 y2 with the last row and column inside: x2 and y2 are one beyond."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
