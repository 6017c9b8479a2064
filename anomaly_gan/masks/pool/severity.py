"""How severe real anomalies of a class are, in thirds: by area, and by contrast with what surrounds them."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import Bin
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.surroundings import surroundings

MAX_GAIN = 3.0
LEAST_CHANGE = 1.0
"""Grey levels; a smaller change is no anomaly that could be made stronger."""

BINS: tuple[Bin, ...] = ("low", "medium", "high")
THIRDS = (0.0, 1 / 3, 2 / 3, 1.0)

Edges = tuple[float, float, float, float]


class Severity(Record):
    """Limits of the thirds, least first, over the real images of a class.

    Attributes:
        area_px: anomalous pixels of an image, at the data set's scale.
        contrast: grey levels; see `contrast`.
    """

    area_px: Edges
    contrast: Edges

    def limits(self, measure: Literal["area_px", "contrast"], which: Bin) -> tuple[float, float]:
        """Least and largest value of a third; those of all images for `any`."""
        edges: Edges = getattr(self, measure)
        if which == "any":
            return edges[0], edges[-1]
        number = BINS.index(which)
        return edges[number], edges[number + 1]

    def third(self, measure: Literal["area_px", "contrast"], value: float) -> Bin:
        """The third in which a value lies; beyond the real ones it counts as the nearest."""
        edges: Edges = getattr(self, measure)
        return BINS[int(np.searchsorted(edges[1:3], value, side="right"))]


def measure_severity(samples: Sequence[Sample], class_name: str) -> Severity:
    """Thirds over samples that all have the class."""
    masks = [sample.masks[class_name] for sample in samples]
    areas = [cv2.countNonZero(mask) for mask in masks]
    contrasts = [contrast(sample.image, mask) for sample, mask in zip(samples, masks, strict=True)]
    return Severity(area_px=_edges(areas), contrast=_edges(contrasts))


def _edges(values: Sequence[float]) -> Edges:
    low, first, second, high = (float(value) for value in np.quantile(values, THIRDS))
    return low, first, second, high


def gain_for(normal: NDArray[np.uint8], pasted: NDArray[np.uint8], mask: NDArray[np.uint8], wanted: float) -> float:
    """What to multiply a pasted change by, 0 to MAX_GAIN, so that the anomaly's contrast comes near `wanted`.

    The change keeps its direction: what was generated darker stays darker. 1 where nothing was generated.

    Args:
        normal, pasted: [H, W] or [H, W, 3] uint8, without the anomaly and with it.
        wanted: grey levels, see `contrast`.
    """
    around = surroundings(mask)
    before, after = (difference(image.astype(np.float32), mask, around) for image in (normal, pasted))
    change = after - before
    if abs(change) < LEAST_CHANGE:
        return 1.0
    aim = wanted if change > 0 else -wanted
    return min(max((aim - before) / change, 0.0), MAX_GAIN)


def contrast(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Grey levels between the means of a mask and of its surroundings; 0 where nothing surrounds it.

    Args:
        image: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}, not empty.
    """
    return abs(difference(image.astype(np.float32), mask, surroundings(mask)))


def difference(image: NDArray[np.float32], mask: NDArray[np.uint8], around: NDArray[np.bool_]) -> float:
    """Mean of the mask less that of its surroundings, in the image's units."""
    if not around.any():
        return 0.0
    return float(image[mask > 0].mean() - image[around].mean())
