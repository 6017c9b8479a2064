"""Which element of the pool becomes a part, and how large: so that a mask has the area that is asked for."""

from collections.abc import Sequence

import numpy as np

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.pool.pool import Element, MaskPool
from infra.errors import DataError

Limits = tuple[float, float]


def area_limits(pool: MaskPool, config: MaskConfig) -> Limits | None:
    """Least and largest area of a mask in px; None = any.

    Raises:
        DataError: an area is asked for, but the pool does not know the real ones.
    """
    if config.area == "any":
        return None
    if pool.severity is None:
        raise DataError(f"mask pool: knows no real areas of class {pool.class_name}; leave masks.area at any")
    return pool.severity.limits("area_px", config.area)


def choose_element(
    elements: Sequence[Element], count: int, limits: Limits | None, config: MaskConfig, rng: np.random.Generator
) -> tuple[Element, float]:
    """An element for one of `count` parts, and its scale.

    Where the mask's area is limited, each part takes an equal share of it: an element is drawn among those that a
    scale of the configured range brings within the limits, then such a scale.

    Raises:
        DataError: no element can be brought within the limits.
    """
    least, most = (1.0, 1.0) if config.pose == "fixed" else (config.scale_min, config.scale_max)
    if limits is None:
        element = elements[int(rng.integers(len(elements)))]
        return element, least if least == most else float(rng.uniform(least, most))
    low, high = (limit / count for limit in limits)
    fitting = [one for one in elements if one.area_px * least**2 <= high and one.area_px * most**2 >= low]
    if not fitting:
        raise DataError(
            f"mask pool: no element can have {low:.0f} to {high:.0f} px, as masks.area {config.area} of {count} parts"
            " asks for; allow more scales, another number of parts or another area"
        )
    element = fitting[int(rng.integers(len(fitting)))]
    smallest, largest = (min(max(float(np.sqrt(limit / element.area_px)), least), most) for limit in (low, high))
    return element, float(rng.uniform(smallest, largest))
