"""The single anomalies of a sample."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.sample import Sample


@dataclass(frozen=True)
class Instance:
    """One anomaly of a picture.

    Attributes:
        mask: [H, W] uint8 {0, 1} of the whole picture, not empty.
    """

    class_name: str
    mask: NDArray[np.uint8]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, width, height in px."""
        left, top, width, height = map(int, cv2.boundingRect(self.mask))
        return left, top, width, height


def instance_map(sample: Sample, class_name: str) -> NDArray[np.int32]:
    """[H, W], 0 = none, i = instance i: as annotated, else the mask's 8-connected parts."""
    if class_name in sample.instances:
        return sample.instances[class_name].astype(np.int32)
    _, labels = cv2.connectedComponents(sample.masks[class_name], connectivity=8)
    return labels.astype(np.int32)


def instance_masks(sample: Sample, class_name: str) -> list[NDArray[np.uint8]]:
    """The [H, W] {0, 1} mask of each instance of a class that the sample has, in the order of their numbers."""
    labels = instance_map(sample, class_name)
    numbers = np.unique(labels[labels > 0])  # annotated numbers may have gaps
    return [(labels == number).astype(np.uint8) for number in numbers]


def instances_of(sample: Sample) -> list[Instance]:
    """The instances of each class, by name and then by number."""
    return [Instance(name, mask) for name in sorted(sample.masks) for mask in instance_masks(sample, name)]


def part_boxes(mask: NDArray[np.uint8]) -> list[list[int]]:
    """[left, top, width, height] of each 8-connected part of a [H, W] {0, 1} mask, in the order of the rows."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes: list[list[int]] = stats[1:, : cv2.CC_STAT_HEIGHT + 1].tolist()
    return boxes
