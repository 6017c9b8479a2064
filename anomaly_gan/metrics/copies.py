"""Finds a known anomaly in another picture, wherever it was moved, turned, flipped or scaled to.

An anomaly's part is sampled in the frame of its own mask: the middle is the mask's centroid, and the axes are stretched
so that the mask is as wide in each direction. There a part and its copy differ by a rotation and perhaps a mirroring,
and all rotations are tried at once by a Fourier transform around the circle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.metrics.realism import gray, smooth_within
from anomaly_gan.samples.sample import Sample

RADII, ANGLES = 10, 48
REACH = 2.0
"""Radius of the outermost ring in standard deviations of the mask's pixels; a disc ends at 2."""
MIN_PART_PX = 16
"""Smaller parts look alike by chance."""
LEAST_OVERLAP = 0.5
"""Share of the union of two masks that they must have in common for their contents to be compared."""
LEAST_DISTANCE = 1e-3
"""Of near-duplicates: a distance below it is rounding."""
TAIL = 0.05
MOST_REFERENCES = 200
"""Parts that a real one's nearest other is searched among; more would take minutes and show little that is new."""

RADIUS = (np.arange(RADII, dtype=np.float32) + 0.5) * (REACH / RADII)
WEIGHT = RADIUS[:, None]  # [RADII, 1], of the area that a sample stands for

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Fingerprint:
    """A part in the frame of its mask.

    Attributes:
        content: [RADII, ANGLES] grey levels less their mean over the mask; 0 outside it.
        mask: [RADII, ANGLES] {0, 1}.
    """

    content: Plane
    mask: Plane


@dataclass(frozen=True)
class Nearest:
    """The known anomaly that a picture's anomaly is nearest to.

    Attributes:
        ratio: how far it is from that one, over how far that one is from the nearest other known anomaly: near 0 for a
            copy, about 1 for another anomaly of its kind.
        key: of that one's picture.
    """

    ratio: float
    key: str


class CopyFinder:
    """Knows the anomalies of some pictures.

    Attributes:
        limit: the 5 % quantile of the ratios that known anomalies have among those of other groups; a smaller one is
            suspicious. 0 where there are no others to learn from.
    """

    def __init__(self, samples: Sequence[Sample], class_name: str) -> None:
        """
        Args:
            samples: whole pictures that have the class. Pictures of one group, `meta["group"]`, may show one anomaly
                several times, so only others say how far apart anomalies are.
        """
        found = [
            (print_, sample.key, str(sample.meta.get("group", sample.key)))
            for sample in sorted(samples, key=lambda sample: sample.key)
            for print_ in fingerprints(sample.image, sample.masks[class_name])
        ]
        prints = [one for one, _, _ in found]
        self._keys, self._known = [key for _, key, _ in found], _Spectra(prints)
        groups = np.array([group for _, _, group in found])
        self._nearest_other, self.limit = _among(prints, groups, self._known)

    def nearest(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Nearest | None:
        """The known anomaly that one part of a picture's anomaly is nearest to; None where none can be compared.

        Args:
            image: [H, W] or [H, W, 3] uint8.
            mask: [H, W] uint8 {0, 1}.
        """
        best: Nearest | None = None
        for one in fingerprints(image, mask) if self._keys else ():
            ratios = self._known.distances(one) / self._nearest_other
            which = int(ratios.argmin())
            if np.isfinite(ratios[which]) and (best is None or ratios[which] < best.ratio):
                best = Nearest(float(ratios[which]), self._keys[which])
        return best


def fingerprints(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> list[Fingerprint]:
    """Of each 8-connected part of a mask that has at least MIN_PART_PX pixels.

    Args:
        image: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    made = []
    for number in range(1, count):
        left, top, width, height, area = stats[number]
        if area >= MIN_PART_PX:
            box = np.s_[top : top + height, left : left + width]
            made.append(_fingerprint(gray(image[box]), labels[box] == number))
    return made


def _fingerprint(levels: Plane, inside: NDArray[np.bool_]) -> Fingerprint:
    rows, columns = np.nonzero(inside)
    points = np.stack([columns, rows]).astype(np.float64)  # [2, n] x and y
    # a pixel is a square of 1 px, whose own variance makes that of a line, too, more than 0
    variances, axes = np.linalg.eigh(np.cov(points) + np.eye(2) / 12)
    stretch = (axes * np.sqrt(variances)) @ axes.T
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    circle = np.stack([np.cos(angles), np.sin(angles)])  # [2, ANGLES]
    at = np.einsum("ij,ja,r->ira", stretch, circle, RADIUS) + points.mean(axis=1)[:, None, None]
    x, y = at.astype(np.float32)
    weight = inside.astype(np.float32)
    # smoothed by half the distance of two rings along the short axis, by pixels of the mask alone
    sigma = max(0.5, float(np.sqrt(variances[0])) * REACH / RADII / 2)
    sampled = cv2.remap(smooth_within(levels, inside, sigma), x, y, cv2.INTER_LINEAR)
    mask = (cv2.remap(weight, x, y, cv2.INTER_LINEAR) > 0.75).astype(np.float32)
    weights = mask * WEIGHT
    mean = float((sampled * weights).sum() / max(float(weights.sum()), 1e-6))
    return Fingerprint((sampled - mean) * mask, mask)


class _Spectra:
    """Known fingerprints, transformed around the circle."""

    def __init__(self, prints: Sequence[Fingerprint]) -> None:
        contents = np.stack([one.content for one in prints]) if prints else np.zeros((0, RADII, ANGLES), np.float32)
        masks = np.stack([one.mask for one in prints]) if prints else contents
        self._content, self._square = _transformed(contents * WEIGHT), _transformed(contents**2 * WEIGHT)
        self._mask, self._area = _transformed(masks * WEIGHT), (masks * WEIGHT).sum(axis=(1, 2))

    def distances(self, one: Fingerprint) -> NDArray[np.float64]:
        """[N] 1 less the correlation of the contents where both masks are, 0..2, at the best rotation, mirrored or not.

        Infinite where the masks have too little in common.
        """
        best = np.full(len(self._area), np.inf)
        for content, mask in ((one.content, one.mask), (one.content[:, ::-1], one.mask[:, ::-1])):
            shapes = np.conj(_transformed(mask))
            common = _turned(self._mask, shapes)
            union = self._area[:, None] + (mask * WEIGHT).sum() - common
            product = _turned(self._content, np.conj(_transformed(content)))
            squares = _turned(self._square, shapes) * _turned(self._mask, np.conj(_transformed(content**2)))
            correlation = product / np.sqrt(np.maximum(squares, 1e-6))
            distance = np.where(common >= LEAST_OVERLAP * union, 1 - correlation, np.inf)
            best = np.minimum(best, distance.min(axis=1))
        nearest: NDArray[np.float64] = np.maximum(best, 0)
        return nearest


def _transformed(planes: Plane) -> NDArray[np.complex64]:
    spectra: NDArray[np.complex64] = np.fft.rfft(planes, axis=-1).astype(np.complex64)
    return spectra


def _turned(known: NDArray[np.complex64], one: NDArray[np.complex64]) -> NDArray[np.float64]:
    """[N, ANGLES], the sum of products at each rotation."""
    products: NDArray[np.float64] = np.fft.irfft(np.einsum("nrf,rf->nf", known, one), ANGLES)
    return products


def _among(
    prints: Sequence[Fingerprint], groups: NDArray[np.str_], known: _Spectra
) -> tuple[NDArray[np.float64], float]:
    """Of each known part the distance to the nearest of another group, and the low quantile of the ratios."""
    if not prints:
        return np.zeros(0), 0.0
    chosen = np.unique(np.linspace(0, len(prints) - 1, min(len(prints), MOST_REFERENCES)).astype(int))
    names = groups[chosen]
    apart = np.stack([known.distances(prints[i]) for i in chosen])  # [R, N]
    apart[names[:, None] == groups] = np.inf
    ratios = []
    for row, name in zip(apart, names, strict=True):
        # what it would be compared with if its group were not known
        ratio = float((row / _nearest(apart[names != name])).min()) if (names != name).any() else np.inf
        if np.isfinite(ratio):
            ratios.append(ratio)
    limit = float(np.quantile(ratios, TAIL, method="median_unbiased")) if ratios else 0.0
    return _nearest(apart), limit


def _nearest(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N], the least of [R, N] distances; that of contents that have nothing in common where none was comparable."""
    least = apart.min(axis=0)
    return np.where(np.isfinite(least), np.maximum(least, LEAST_DISTANCE), 1.0)
