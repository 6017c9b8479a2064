"""The mask pool: elements cut from the annotated abnormal images, and those of experts (paper, Sec. 4.1.2)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.masks.pool.severity import Severity, measure_severity
from anomaly_gan.masks.rationality.rationality import Rationality
from anomaly_gan.samples.arrays import abnormal_samples
from anomaly_gan.samples.instances import instance_map
from anomaly_gan.samples.resizing import stretch_nearest
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError

MIN_ELEMENT_PX = 4
MIN_SHARE_OF_LARGEST = 0.1
"""A part of fewer pixels, or less than this share of its picture's largest part, is a speck, not a shape."""


Mask = NDArray[np.uint8]
"""[h, w] uint8 {0, 1}."""

Box = tuple[float, float, float, float]
"""Left, top, width, height in px."""


@dataclass(frozen=True)
class Element:
    """One anomaly's shape.

    Attributes:
        source: key of the sample it was cut from, or the expert's file and shape.
        mask: [h, w] uint8 {0, 1}, cut to its box.
        top, left: where its box began in the picture, in px.
        is_expert: an expert drew it; else it was cut from an annotated abnormal image.
        borders: those of "TBLR" (top, bottom, left, right) of its picture that cut it off.
    """

    source: str
    mask: NDArray[np.uint8]
    top: int
    left: int
    is_expert: bool = False
    borders: str = ""

    @cached_property
    def area_px(self) -> int:
        return cv2.countNonZero(self.mask)

    @cached_property
    def direction(self) -> Direction:
        return Direction.of(self.mask)

    @cached_property
    def png(self) -> bytes:
        """The mask as it is stored, {0, 255}."""
        return encode_png(self.mask * np.uint8(255))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the PNG."""
        return hashlib.sha256(self.png).hexdigest()

    @cached_property
    def id(self) -> str:
        """Made of source, place and shape alone, so that it stays the same whatever else a pool holds."""
        origin = "expert" if self.is_expert else "prior"
        origin_text = f"{self.source} {self.left} {self.top} {self.sha256}"
        return f"{origin}-{hashlib.sha256(origin_text.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Layout:
    """Elements as they lie in one picture, as one shape.

    Attributes:
        shape: all of them.
        count: how many they are.
    """

    shape: Element
    count: int


@dataclass(frozen=True)
class MaskPool:
    """The elements of one class, in a fixed order, and where they may go.

    Attributes:
        part_counts: how many elements each annotated image has, least first.
        severity: thirds of the real images; None = unknown.
        rationality: what was learnt of real placements; None = nothing.
        region: [H, W] uint8 {0, 1}, 1 = allowed, of any size, stretched over every picture; None = everywhere.
        regions: sample key -> the same for one picture, at its size, in place of `region`.
        anchors: sample key -> boxes in its picture; where there are any, elements of fixed pose stand at their
            centres alone.
    """

    class_name: str
    elements: tuple[Element, ...]
    part_counts: tuple[int, ...] = (1,)
    severity: Severity | None = None
    rationality: Rationality | None = None
    region: NDArray[np.uint8] | None = None
    regions: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    anchors: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls, pictures: Iterable[NDArray[np.uint8]], masks: Iterable[NDArray[Any]], class_name: str
    ) -> "MaskPool":
        """The pool of annotated abnormal pictures.

        Args:
            pictures: [H, W] grey or [H, W, 3] RGB uint8 each, of any size.
            masks: [H, W] of each picture's size, bool, or uint8 of {0, 1} or {0, 255}; what is not 0 is the anomaly.
            class_name: what the anomalies are called.

        Raises:
            DataError: an array is of another shape or type, or no mask has a part that is large enough.
        """
        return build_pool(abnormal_samples(pictures, masks, class_name), class_name)

    @cached_property
    def layouts(self) -> tuple["Layout", ...]:
        """The elements of each picture together, as they lie there; each that an expert drew, alone."""
        pictures: dict[str, list[Element]] = {}
        for element in self.elements:
            pictures.setdefault(f"{element.id} {element.source}" if element.is_expert else element.source, []).append(
                element
            )
        return tuple(map(_joined, pictures.values()))

    @cached_property
    def may_lie_across(self) -> bool:
        """Whether the elements lie along rows and along columns alike, so that a quarter turn shows nothing.

        Elements that are longer along rows count above 0, those along columns below. Were all of one kind, their sum
        would be that of their absolute values; it must lie two of its own deviations below that. So a few elements
        alone, which prove nothing, are not turned.
        """
        across = np.array([element.direction.along_rows for element in self.prior_elements])
        deviation = np.sqrt(np.square(across).sum())
        return bool(abs(across.sum()) <= 2 * deviation and abs(across.sum()) + 2 * deviation <= abs(across).sum())

    @cached_property
    def directions(self) -> tuple[Direction, ...]:
        """Of the prior elements that no border cut off."""
        return tuple(element.direction for element in self.prior_elements if not element.borders)

    @cached_property
    def prior_elements(self) -> tuple[Element, ...]:
        """The elements of annotated abnormal images, without those that experts drew."""
        return tuple(element for element in self.elements if not element.is_expert)

    def allowed(self, sample: Sample) -> NDArray[np.uint8] | None:
        """[H, W] uint8 {0, 1} of the sample's size, or None = everywhere."""
        if sample.key in self.regions:
            return self.regions[sample.key]
        if self.region is None:
            return None
        height, width = sample.image.shape[:2]
        return stretch_nearest(self.region, (height, width))


def build_pool(samples: Iterable[Sample], class_name: str) -> MaskPool:
    """Cut every connected part (or annotated instance) of a class.

    Args:
        samples: of the training split only; those without the class are passed over.
        class_name: which masks to cut.

    Raises:
        DataError: no element is left.
    """
    abnormal = [sample for sample in samples if class_name in sample.masks]
    cut = [cut_elements(sample, class_name) for sample in abnormal]
    elements = [element for group in cut for element in group]
    if not elements:
        raise DataError(f"mask pool: no mask of class {class_name} has a part of {MIN_ELEMENT_PX} px or more")
    counts = sorted(len(group) for group in cut if group)
    return MaskPool(class_name, tuple(elements), tuple(counts), measure_severity(abnormal, class_name))


def crop_element(source: str, mask: NDArray[np.uint8], *, is_expert: bool = False) -> Element:
    """An element of all pixels of a [H, W] {0, 1} mask that is not empty."""
    left, top, width, height = cv2.boundingRect(mask)
    ends = (top == 0, top + height == mask.shape[0], left == 0, left + width == mask.shape[1])
    borders = "" if is_expert else "".join(name for name, is_there in zip("TBLR", ends, strict=True) if is_there)
    shape = mask[top : top + height, left : left + width].copy()
    return Element(source, shape, int(top), int(left), is_expert, borders)


def _joined(elements: Sequence[Element]) -> Layout:
    if len(elements) == 1:
        return Layout(elements[0], 1)
    top, left = min(one.top for one in elements), min(one.left for one in elements)
    bottom = max(one.top + one.mask.shape[0] for one in elements)
    right = max(one.left + one.mask.shape[1] for one in elements)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for one in elements:
        height, width = one.mask.shape
        mask[one.top - top :, one.left - left :][:height, :width] |= one.mask
    borders = "".join(name for name in "TBLR" if any(name in one.borders for one in elements))
    return Layout(Element(elements[0].source, mask, top, left, elements[0].is_expert, borders), len(elements))


def cut_elements(sample: Sample, class_name: str) -> list[Element]:
    """The parts of a sample's mask of a class, but for specks."""
    labels = instance_map(sample, class_name)
    areas = np.bincount(labels.ravel())[1:]
    least = max(MIN_ELEMENT_PX, MIN_SHARE_OF_LARGEST * areas.max(initial=0))
    return [
        crop_element(sample.key, (labels == label).astype(np.uint8)) for label in np.flatnonzero(areas >= least) + 1
    ]
