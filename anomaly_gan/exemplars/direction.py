"""How long a shape is, and along which direction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Direction:
    """Of the pixels of a shape, by their covariance.

    Attributes:
        degrees: -90..90, counter-clockwise from the rows, along which the shape is longest.
        elongation: deviation along it over that across it, 1 or more; 1 = no direction.
    """

    degrees: float
    elongation: float

    @classmethod
    def of(cls, mask: NDArray[np.uint8]) -> "Direction":
        """Of a [h, w] {0, 1} mask that is not empty."""
        rows, columns = np.nonzero(mask)
        (along, both), (_, across) = np.cov(columns, -rows, bias=True) + np.eye(2) / 12  # a pixel is no point
        mean, half = (along + across) / 2, np.hypot((along - across) / 2, both)
        degrees = np.rad2deg(np.arctan2(2 * both, along - across)) / 2
        return cls(float(degrees), float(np.sqrt((mean + half) / (mean - half))))

    @property
    def along_rows(self) -> float:
        """-1..1: how much longer along rows than along columns; 0 for what is round or slanting."""
        squared = self.elongation**2
        return float(np.cos(2 * np.deg2rad(self.degrees)) * (squared - 1) / (squared + 1))

    def turn_to(self, other: "Direction") -> float:
        """Degrees, counter-clockwise, -90..90: the shorter way, so that what is below stays below."""
        return (other.degrees - self.degrees + 90) % 180 - 90
