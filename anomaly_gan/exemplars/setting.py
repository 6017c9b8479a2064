"""What an anomaly lies in: anomalies of worn steel look other than those of polished steel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.surroundings import RING_PX, surroundings

LEAST = 4.0
"""Grey levels that are added to both measures, so that two dark, or two smooth, settings are alike."""


@dataclass(frozen=True)
class Setting:
    """The picture around a mask.

    Attributes:
        level: mean, grey levels.
        roughness: deviation of the Laplacian, grey levels.
    """

    level: float
    roughness: float

    @classmethod
    def of(cls, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> "Setting | None":
        """None where nothing of the picture is around the mask.

        Args:
            image: [H, W] or [H, W, 3] uint8.
            mask: [H, W] uint8 {0, 1}.
        """
        left, top, width, height = cv2.boundingRect(mask)
        margin = RING_PX + 1  # a Laplacian reaches one pixel
        near = np.s_[max(top - margin, 0) : top + height + margin, max(left - margin, 0) : left + width + margin]
        ring = surroundings(mask)[near]
        if not ring.any():
            return None
        levels = image[near].astype(np.float64).reshape(*ring.shape, -1).mean(axis=2)
        rough = cv2.Laplacian(levels, cv2.CV_64F)[ring]
        return cls(float(levels[ring].mean()), float(rough.std()))

    def likeness(self, other: "Setting") -> float:
        """0..1, 1 where they are the same; half where one of both measures is twice that of the other."""
        pairs = (self.level, other.level), (self.roughness, other.roughness)
        ratios = [(one + LEAST) / (two + LEAST) for one, two in pairs]
        return float(np.prod([min(ratio, 1 / ratio) for ratio in ratios]))
