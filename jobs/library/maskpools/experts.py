"""The masks that experts drew, as elements of a pool."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from anomaly_gan.masks.drawn.experts import read_expert_masks
from anomaly_gan.masks.pool.pool import MIN_ELEMENT_PX, Element, crop_element
from anomaly_gan.samples.index import DatasetIndex
from anomaly_gan.samples.resizing import lost_parts, resize_nearest
from infra.errors import DataError
from infra.settings import Settings
from infra.storage.sources import FsspecTree

LEAST_REPORTED = 0.01
"""Least share cut off a polygon that is warned of; less is a slip of the mouse."""


@dataclass
class DrawnElements:
    """Drawn elements by class, and warnings of one sentence each."""

    elements: dict[str, list[Element]]
    warnings: list[str] = field(default_factory=list)


def read_experts(folders: Sequence[str], dataset: DatasetIndex, settings: Settings) -> DrawnElements:
    """Elements at the data set's scale.

    Raises:
        DataError: a mask is a speck at that scale, or is there twice.
    """
    found = DrawnElements({name: [] for name in dataset.classes})
    known: set[str] = set()
    for folder in folders:
        tree = FsspecTree(folder, settings)
        for drawn in read_expert_masks(tree, dataset.classes):
            where = f"{tree.url}/{drawn.source}"
            mask = resize_nearest(drawn.mask, dataset.resolution)
            area = np.count_nonzero(mask)
            if area < MIN_ELEMENT_PX:
                raise DataError(
                    f"{where}: covers {area} px at the data set's scale, a shape needs {MIN_ELEMENT_PX}; draw it larger"
                )
            if drawn.outside >= LEAST_REPORTED:
                found.warnings.append(
                    f"{where}: {drawn.outside:.0%} of it lies outside its picture and was cut off; draw it inside"
                )
            if lost := lost_parts(drawn.mask, dataset.resolution):
                found.warnings.append(
                    f"{where}: {lost} of its separate parts vanished when it was squeezed to {dataset.resolution} px;"
                    " draw them larger"
                )
            element = crop_element(f"{tree.url.rpartition('/')[2]}/{drawn.source}", mask, is_expert=True)
            if element.id in known:
                raise DataError(f"{where}: was read from another folder of that name already; rename one")
            known.add(element.id)
            found.elements[drawn.class_name].append(element)
    return found
