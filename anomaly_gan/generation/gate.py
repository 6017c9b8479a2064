"""The quality gate: is a generated sample as visible, as sharp and as new as real ones are?

The limits come from real images. What a real anomaly changed cannot be seen, because its normal picture does not exist.
In its place stands the picture itself with the mask filled from its surroundings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import QualityConfig, ViewConfig
from anomaly_gan.metrics.mask_change import MaskChange, average_precision
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import take_view

LIMITS = ("in_mask_change", "mask_hit", "background", "sharpness", "copy")
"""Names of the limits that a sample can break."""
LOW, HIGH = 0.05, 0.95
"""Quantiles of the real images from which limits are taken, so that one odd image does not set a limit."""
FILL_RADIUS_PX = 3
EDGE_PX = 2
"""Distance from the outline of a mask within which the edge of the anomaly itself lies."""
FINGERPRINT_PX = 32
MARGIN = 0.25
"""Context of a fingerprint on each side of the mask's box, as a share of that side's length."""


@dataclass(frozen=True)
class Limits:
    """The limits of one class; a sample beyond one of them is not kept.

    Attributes:
        in_mask_change: least change inside the mask, grey levels.
        mask_hit: least average precision of the change as a predictor of the mask, 0..1.
        background: largest error of the background before pasting, grey levels.
        sharpness: least and largest sharpness, grey levels per px.
        nearest_real: least distance to a real anomaly, grey levels; nearer is a copy.
    """

    in_mask_change: float
    mask_hit: float
    background: float
    sharpness: tuple[float, float]
    nearest_real: float


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a sample.

    Attributes:
        sharpness: grey levels per px, see `sharpness`.
        nearest_real: distance to the nearest real anomaly, grey levels, see `fingerprint`.
        nearest_key: key of the picture of that real anomaly.
        failed: those of LIMITS that it broke; empty = kept.
    """

    sharpness: float
    nearest_real: float
    nearest_key: str
    failed: tuple[str, ...]


class QualityGate:
    """Judges samples of one class.

    Attributes:
        limits: what samples are held against, learnt from the real images.
    """

    def __init__(self, limits: Limits, keys: Sequence[str], fingerprints: NDArray[np.float32]) -> None:
        """
        Args:
            limits: see the attribute.
            keys: N keys of the real pictures.
            fingerprints: [N, FINGERPRINT_PX, FINGERPRINT_PX] of their anomalies, see `fingerprint`.
        """
        self.limits = limits
        self._keys = list(keys)
        self._fingerprints = fingerprints

    def judge(self, image: NDArray[np.uint8], mask: NDArray[np.uint8], change: MaskChange) -> Verdict:
        """Hold one sample against all limits.

        Args:
            image: [H, W] or [H, W, 3] uint8, the generated view.
            mask: [H, W] uint8 {0, 1}, not empty.
            change: measures of the view. A measure that is not defined breaks no limit.
        """
        sharp, distances = sharpness(image, mask), _distances(self._fingerprints, fingerprint(image, mask))
        nearest = int(distances.argmin())
        limits = self.limits
        # in the order of LIMITS
        broken = (
            change.in_mask_change is not None and change.in_mask_change < limits.in_mask_change,
            change.mask_hit is not None and change.mask_hit < limits.mask_hit,
            change.background_mae_raw is not None and change.background_mae_raw > limits.background,
            not limits.sharpness[0] <= sharp <= limits.sharpness[1],
            bool(distances[nearest] < limits.nearest_real),
        )
        failed = tuple(name for name, is_broken in zip(LIMITS, broken, strict=True) if is_broken)
        return Verdict(sharp, float(distances[nearest]), self._keys[nearest], failed)


def learn_gate(
    normals: Sequence[Sample], abnormals: Sequence[Sample], class_name: str, view: ViewConfig, config: QualityConfig
) -> QualityGate:
    """Limits from the training split, in the view that is generated.

    Each limit is a quantile of the real images, 5 % or 95 %, moved outwards by `config.tolerance`: of the change inside
    the mask, of how well the deviation from the surroundings finds the mask, of the sharpness, of the distance to the
    nearest other real anomaly. The background may be changed by no more than the noise of the normal pictures.

    Args:
        normals, abnormals: not empty; the latter all have the class.
    """
    # a seed of their own, so that the job's seed does not move the limits
    views = [
        take_view(sample, view, np.random.default_rng([0, number]), class_name)
        for number, sample in enumerate(abnormals)
    ]
    pairs = [(one.image, one.masks[class_name]) for one in views]
    fingerprints = np.stack([fingerprint(*pair) for pair in pairs])
    sharp = [sharpness(*pair) for pair in pairs]
    less, more = 1 - config.tolerance, 1 + config.tolerance
    limits = Limits(
        in_mask_change=less * _quantile([_filled_change(*pair) for pair in pairs], LOW),
        mask_hit=less * _quantile([_found(*pair) for pair in pairs], LOW),
        background=more * _quantile([_noise(sample.image) for sample in normals], HIGH),
        sharpness=(less * _quantile(sharp, LOW), more * _quantile(sharp, HIGH)),
        nearest_real=less * _quantile(_nearest_others(fingerprints), LOW),
    )
    return QualityGate(limits, [sample.key for sample in abnormals], fingerprints)


def sharpness(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Mean length of the gradient on the mask's edge and inside, grey levels per px.

    Args:
        image: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}, not empty.
    """
    levels = _gray(image)
    # a 3x3 Sobel sums the difference over 2 px with weights 1, 2, 1, so an eighth of it is grey levels per px
    across = cv2.Sobel(levels, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(levels, cv2.CV_32F, 0, 1, scale=1 / 8)
    wide = cv2.dilate(mask, np.ones((2 * EDGE_PX + 1, 2 * EDGE_PX + 1), np.uint8))
    return float(cv2.magnitude(across, down)[wide > 0].mean())


def fingerprint(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[FINGERPRINT_PX, FINGERPRINT_PX] grey levels less their mean: the box around the mask, made small.

    The mean distance of two fingerprints does not depend on how bright their pictures are.
    """
    left, top, width, height = cv2.boundingRect(mask)
    x, y = int(MARGIN * width), int(MARGIN * height)
    box = _gray(image)[max(top - y, 0) : top + height + y, max(left - x, 0) : left + width + x]
    small: NDArray[np.float32] = cv2.resize(box, (FINGERPRINT_PX, FINGERPRINT_PX), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    small -= small.mean()
    return small


def _gray(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W], the mean of the planes."""
    levels: NDArray[np.float32] = image.astype(np.float32).reshape(*image.shape[:2], -1).mean(axis=2)
    return levels


def _filled_change(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """Mean distance inside the mask between the picture and the same with the mask filled, grey levels."""
    filled = cv2.inpaint(image, mask, FILL_RADIUS_PX, cv2.INPAINT_TELEA)
    return float(np.abs(_gray(image) - _gray(filled.astype(np.uint8)))[mask > 0].mean())


def _found(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """What `mask_hit` is for a real picture, with its own median in place of the missing normal picture.

    A mask of all pixels is hit by anything, so it counts as 1.
    """
    levels = _gray(image)
    # smoothed over 3x3 px, as the measure of generated samples is
    deviation = cv2.blur(np.abs(levels - np.median(levels)), (3, 3))
    found = average_precision(deviation.ravel(), mask.ravel() > 0)
    return 1.0 if found is None else found


def _noise(image: NDArray[np.uint8]) -> float:
    """How far pixels are from the median of their 3x3 px, a mean in grey levels."""
    return float(np.abs(image.astype(np.float32) - cv2.medianBlur(image, 3)).mean())


def _nearest_others(fingerprints: NDArray[np.float32]) -> list[float]:
    """For each fingerprint the distance to the nearest other one, grey levels; 0 for a single one."""
    if len(fingerprints) == 1:
        return [0.0]  # a least distance of 0: nothing counts as a copy
    nearest = []
    for number, one in enumerate(fingerprints):
        distances = _distances(fingerprints, one)
        distances[number] = np.inf
        nearest.append(float(distances.min()))
    return nearest


def _distances(fingerprints: NDArray[np.float32], one: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] mean absolute differences of N fingerprints and one more, grey levels."""
    distances: NDArray[np.float32] = np.abs(fingerprints - one).mean(axis=(1, 2))
    return distances


def _quantile(values: Sequence[float], share: float) -> float:
    return float(np.quantile(values, share))
