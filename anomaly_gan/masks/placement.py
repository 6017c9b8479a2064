"""Expert masks: elements of the pool, repositioned, rotated, scaled and combined (paper, Sec. 4.1.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.choosing import area_limits, choose_element
from anomaly_gan.masks.pool import Element, MaskPool
from anomaly_gan.masks.transform import cut_to_view, random_pixel, transform
from infra.errors import DataError

ARRANGEMENTS = 10
"""Of several parts, before a part is refused for which the others left no room."""


class PlacementError(DataError):
    """A rule that no try met."""


@dataclass(frozen=True)
class Placement:
    """Where one element went: the audit trail of a mask.

    Attributes:
        element: its id.
        source: where its shape is from.
        left, top: of its box in the view, in px; negative where it hangs over the border.
    """

    element: str
    source: str
    left: int
    top: int
    angle_deg: float
    scale: float


@dataclass(frozen=True)
class Part:
    """A shape in its place.

    Attributes:
        mask: [h, w] uint8 {0, 1}.
        left, top: of its first pixel, in px; may hang over the border.
    """

    mask: NDArray[np.uint8]
    left: int
    top: int

    def over(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What lies below the part within the picture (a view of it), and the part's own pixels there."""
        height, width = self.mask.shape
        top, left = max(self.top, 0), max(self.left, 0)
        below = picture[top : max(self.top + height, 0), left : max(self.left + width, 0)]
        y, x = top - self.top, left - self.left
        return below, self.mask[y : y + below.shape[0], x : x + below.shape[1]]

    def grown(self, distance_px: int) -> "Part":
        """With all pixels nearer than a distance."""
        margin = distance_px - 1
        wide = cv2.copyMakeBorder(self.mask, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=[0])
        return Part(cv2.dilate(wide, _disc(distance_px)).astype(np.uint8), self.left - margin, self.top - margin)


@dataclass(frozen=True)
class PlacedMask:
    """A mask and how it was made.

    Attributes:
        mask: [size, size] uint8 {0, 1}, never empty.
        placements: of each part.
        parts: the parts' shapes, in the same order.
    """

    mask: NDArray[np.uint8]
    placements: tuple[Placement, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Ground:
    """Where parts may go in a view.

    Attributes:
        allowed: [size, size] uint8 {0, 1}; None = everywhere.
        anchors: (x, y) in px, the points on which a part's centre must lie; None = none are known.
    """

    allowed: NDArray[np.uint8] | None = None
    anchors: Sequence[tuple[int, int]] | None = None


EVERYWHERE = Ground()


def place(
    pool: MaskPool,
    size: int,
    config: MaskConfig,
    rng: np.random.Generator,
    *,
    ground: Ground = EVERYWHERE,
    like_real: bool = False,
) -> PlacedMask:
    """Draw one mask.

    An element larger than the view is cut to a part around one of its pixels before any rule is applied.

    Args:
        pool: the elements of a class.
        size: side of the square view in px.
        config: pose, ranges, number of parts and rules.
        rng: the only source of chance.
        ground: where parts may go.
        like_real: combine as many parts as real masks have, instead of `min_parts` to `max_parts` alike: in training,
            so that the number of parts does not tell a discriminator which images are generated.

    Raises:
        PlacementError: `config.tries` tries broke a rule; the message names the element and the rule.
        DataError: the pool has no element, or none that can have the area that is asked for.
    """
    elements = pool.prior_elements if config.pool == "prior_only" else pool.elements
    if not elements:
        raise DataError(f"mask pool: has no element of class {pool.class_name} for masks.pool {config.pool}; add some")
    counts = pool.part_counts if like_real else range(config.min_parts, config.max_parts + 1)
    count = min(max(counts[int(rng.integers(len(counts)))], config.min_parts), config.max_parts)
    limits = area_limits(pool, config)
    for _ in range(config.tries):
        draw = partial(choose_element, elements, count, limits, config, rng)
        placed = _place_parts(draw, count, size, config, ground, rng)
        if limits is None or limits[0] <= cv2.countNonZero(placed.mask) <= limits[1]:
            return placed
    raise _unmet(
        elements[0], f"area {config.area}", "every mask has another area; allow more scales or fewer parts", config
    )


def _place_parts(
    draw: Callable[[], tuple[Element, float]],
    count: int,
    size: int,
    config: MaskConfig,
    ground: Ground,
    rng: np.random.Generator,
) -> PlacedMask:
    """Elements as drawn, one after the other; where the first ones leave no room, the same ones once more."""
    drawn: list[tuple[Element, float]] = []
    refused: PlacementError | None = None
    for _ in range(ARRANGEMENTS):
        mask, placed = np.zeros((size, size), np.uint8), []
        try:
            for number in range(count):
                if number == len(drawn):
                    drawn.append(draw())
                placed.append(_place_part(mask, *drawn[number], config, ground, rng))
        except PlacementError as err:
            if not placed:
                raise
            refused = err
        else:
            placements, parts = zip(*placed, strict=True)
            return PlacedMask(mask, placements, parts)
    assert refused is not None
    raise refused


def _place_part(
    mask: NDArray[np.uint8],
    element: Element,
    scale: float,
    config: MaskConfig,
    ground: Ground,
    rng: np.random.Generator,
) -> tuple[Placement, Part]:
    """Add an element to the mask, at the first tried angle and position that meets all rules."""
    size, broken = len(mask), None
    for _ in range(config.tries):
        angle, shape = 0.0, element.mask
        if config.pose == "free":
            angle = float(rng.uniform(config.angle_min, config.angle_max))
            shape = transform(element.mask, angle, scale)
        shape = cut_to_view(shape, size, rng)
        part = Part(shape, *_position(shape, size, config, ground, element, rng))
        broken = _broken_rule(mask, part, config, ground)
        if broken is None:
            below, inside = part.over(mask)
            np.maximum(below, inside, out=below)
            return Placement(element.id, element.source, part.left, part.top, angle, scale), part
    assert broken is not None
    raise _unmet(element, *broken, config)


def _position(
    shape: NDArray[np.uint8],
    size: int,
    config: MaskConfig,
    ground: Ground,
    element: Element,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """(left, top) to try: at an anchor, or on an allowed pixel, or anywhere."""
    height, width = shape.shape
    if ground.anchors is not None:
        if not ground.anchors:
            raise _unmet(element, "anchors", "the view holds none; use pictures that have some", config)
        x, y = ground.anchors[int(rng.integers(len(ground.anchors)))]
        return x - width // 2, y - height // 2
    over_x, over_y = (int((1 - config.keep_inside) * length) for length in (width, height))
    if ground.allowed is not None:
        if not ground.allowed.any():
            raise _unmet(element, "region", "no pixel of the view is allowed; draw a larger region", config)
        row, column = random_pixel(shape, rng)
        top, left = max(row - over_y, 0), max(column - over_x, 0)
        room = ground.allowed[top : row + size - height + over_y + 1, left : column + size - width + over_x + 1]
        if not room.any():  # the part will hang over the border
            top, left, room = 0, 0, ground.allowed
        y, x = random_pixel(room, rng)
        return left + x - column, top + y - row
    left = int(rng.integers(-over_x, size - width + over_x + 1))
    return left, int(rng.integers(-over_y, size - height + over_y + 1))


def _broken_rule(mask: NDArray[np.uint8], part: Part, config: MaskConfig, ground: Ground) -> tuple[str, str] | None:
    """(rule, what is wrong and what to do), or None where all are met."""
    _, inside = part.over(mask)
    if cv2.countNonZero(inside) < config.keep_inside * cv2.countNonZero(part.mask):
        return f"keep_inside {config.keep_inside:g}", "it hangs over the border; allow a lower share or smaller scales"
    if ground.allowed is not None:
        allowed, inside = part.over(ground.allowed)
        if (inside > allowed).any():
            return "region", "it does not fit into the allowed region; draw a larger one or allow smaller scales"
    if config.min_distance_px:
        near, grown = part.grown(config.min_distance_px).over(mask)
        if (near & grown).any():
            return (
                f"min_distance_px {config.min_distance_px}",
                "there is no room beside the other parts; allow a smaller distance or fewer parts",
            )
    return None


def _unmet(element: Element, rule: str, advice: str, config: MaskConfig) -> PlacementError:
    return PlacementError(
        f"mask pool: element {element.id} ({element.source}) does not meet {rule} in {config.tries} tries: {advice}"
    )


@cache
def _disc(radius_px: int) -> NDArray[np.uint8]:
    """Pixels nearer to the centre than the radius."""
    rows, columns = np.indices((2 * radius_px - 1, 2 * radius_px - 1)) - (radius_px - 1)
    return (rows**2 + columns**2 < radius_px**2).astype(np.uint8)
