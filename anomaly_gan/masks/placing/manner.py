"""How elements are turned, and whether those that a border cut off stay at it."""

from dataclasses import dataclass

import numpy as np

from anomaly_gan.config import MaskConfig
from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.masks.pool.pool import Element, MaskPool

FULL_TURN = 360.0


@dataclass(frozen=True)
class Manner:
    """How one mask's elements are posed.

    Attributes:
        quarters: multiples of 90 degrees, one of which is taken without resampling; None = any angle.
        directions: of real elements, one of which an element is turned to; None = evenly from `angles`.
        angles: least and largest turn in degrees.
        keeps_borders: elements that a border of their picture cut off are not turned, and lie at that border.
    """

    quarters: tuple[float, ...] | None
    directions: tuple[Direction, ...] | None
    angles: tuple[float, float]
    keeps_borders: bool

    @classmethod
    def of(cls, pool: MaskPool, config: MaskConfig, *, as_cut: bool) -> "Manner":
        """What the config asks for, in training as `placement.place` says of `as_cut`.

        Limits to the angle come before the directions of the pool. Where the most rational of several masks is taken,
        borders are left to it: elements that must lie there would win nearly always.
        """
        is_natural, angles = config.pose == "natural", (config.angle_min, config.angle_max)
        quarters = None
        if as_cut:
            quarters = (0.0, 90.0) if pool.may_lie_across else (0.0,)
        is_limited = angles[1] - angles[0] < FULL_TURN
        directions = pool.directions if is_natural and not is_limited and pool.directions else None
        return cls(quarters, directions, angles, as_cut or (is_natural and not config.rationality))

    def turn(self, element: Element, rng: np.random.Generator) -> float:
        """Degrees, counter-clockwise."""
        if self.quarters is not None:
            return self.quarters[int(rng.integers(len(self.quarters)))]
        if self.directions is None:
            return float(rng.uniform(*self.angles))
        return element.direction.turn_to(self.directions[int(rng.integers(len(self.directions)))])
