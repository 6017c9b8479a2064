"""The mask pool: elements cut from the annotated abnormal images (paper, Sec. 4.1.2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.data import Sample
from infra.errors import DataError

MIN_ELEMENT_PX = 4
MIN_SHARE_OF_LARGEST = 0.1
"""A part of fewer pixels, or less than this share of its picture's largest part, is a speck, not a shape."""


@dataclass(frozen=True)
class Element:
    """One anomaly's shape.

    Attributes:
        source: key of the sample it was cut from.
        mask: [h, w] uint8 {0, 1}, cut to its box.
        top, left: where its box began in the picture, in px.
        is_expert: an expert drew it; else it was cut from an annotated abnormal image.
    """

    source: str
    mask: NDArray[np.uint8]
    top: int
    left: int
    is_expert: bool = False


@dataclass(frozen=True)
class MaskPool:
    """The elements of one class, in a fixed order.

    Attributes:
        part_counts: how many elements each annotated image has, least first.
    """

    class_name: str
    elements: tuple[Element, ...]
    part_counts: tuple[int, ...] = (1,)

    @cached_property
    def prior_elements(self) -> tuple[Element, ...]:
        """Those of annotated abnormal images alone."""
        return tuple(element for element in self.elements if not element.is_expert)


def build_pool(samples: Iterable[Sample], class_name: str) -> MaskPool:
    """Cut every connected part (or annotated instance) of a class.

    Args:
        samples: of the training split only; those without the class are passed over.
        class_name: which masks to cut.

    Raises:
        DataError: no element is left.
    """
    cut = [_cut_elements(sample, class_name) for sample in samples if class_name in sample.masks]
    elements = [element for group in cut for element in group]
    if not elements:
        raise DataError(f"mask pool: no mask of class {class_name} has a part of {MIN_ELEMENT_PX} px or more")
    return MaskPool(class_name, tuple(elements), tuple(sorted(len(group) for group in cut if group)))


def instance_map(sample: Sample, class_name: str) -> NDArray[np.int32]:
    """[H, W], 0 = none, i = instance i: as annotated, else the mask's 8-connected parts."""
    if class_name in sample.instances:
        return sample.instances[class_name].astype(np.int32)
    _, labels = cv2.connectedComponents(sample.masks[class_name], connectivity=8)
    return labels.astype(np.int32)


def _cut_elements(sample: Sample, class_name: str) -> list[Element]:
    labels = instance_map(sample, class_name)
    areas = np.bincount(labels.ravel())[1:]
    least = max(MIN_ELEMENT_PX, MIN_SHARE_OF_LARGEST * areas.max(initial=0))
    elements = []
    for label in np.flatnonzero(areas >= least) + 1:
        part = (labels == label).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(part)
        elements.append(Element(sample.key, part[top : top + height, left : left + width].copy(), int(top), int(left)))
    return elements
