"""Putting parts into one mask, each where the rules allow it."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.placing.manner import Manner
from anomaly_gan.masks.placing.parts import Ground, Part, PlacedMask, Placement, PlacementError, unmet
from anomaly_gan.masks.placing.transform import cut_to, random_pixel, random_pixel_of_region, transform
from anomaly_gan.masks.pool.pool import Element
from anomaly_gan.masks.rationality.habits import Proposal

ARRANGEMENTS = 10
"""Times that the same parts are arranged anew, before a part is refused for which the others left no room."""

PROPOSALS = 10
"""Likely places tried for a part before random ones."""

Extent = tuple[int, int, int, int]
"""(left, top, right, bottom) in px; right and bottom are exclusive."""


class Arranger:
    """Puts parts into one mask."""

    def __init__(
        self,
        size: int,
        config: MaskConfig,
        ground: Ground,
        rng: np.random.Generator,
        manner: Manner,
    ) -> None:
        """Args:
        size: side of the view in px.
        manner: how elements are turned, but for those of fixed pose.
        """
        self._manner = manner
        self._size, self._config, self._ground, self._rng = size, config, ground, rng
        self._shape = ground.picture or (size, size)
        self._begin()

    def _begin(self) -> None:
        """Forget all parts.

        `_mask` [H, W] holds the parts so far, `_anchors` those that are still free, `_extent` the box around all parts,
        which is needed in whole pictures alone.
        """
        self._mask = np.zeros(self._shape, np.uint8)
        self._anchors = None if self._ground.anchors is None else list(self._ground.anchors)
        self._tried_anchor = (0, 0)
        self._extent: Extent | None = None

    def arrange(self, draw: Callable[[], tuple[Element, float]], count: int) -> PlacedMask:
        """Put `count` elements into the mask; where the first ones leave no room, arrange the same ones once more.

        Where the anchors do not suffice for all, those parts that have one are enough, if they are `min_parts`.

        Args:
            draw: gives an element and its scale.
            count: parts of the mask.

        Raises:
            PlacementError: a part has no place.
        """
        # kept from one arrangement to the next: elements drawn anew would favour small ones, which fit more easily
        drawn: list[tuple[Element, float]] = []
        refused: PlacementError | None = None
        for _ in range(ARRANGEMENTS):
            self._begin()
            placed: list[tuple[Placement, Part]] = []
            try:
                for number in range(count):
                    if number == len(drawn):
                        drawn.append(draw())
                    placed.append(self._place(*drawn[number]))
            except PlacementError as err:
                if not placed:
                    raise  # the first part had all the room that there is
                refused = err
                # fewer parts will do where anchors are short; else another arrangement may have room for all
                if self._anchors is None or len(placed) < self._config.min_parts:
                    continue
            placements, parts = zip(*placed, strict=True)
            return PlacedMask(self._mask, placements, parts)
        assert refused is not None
        raise refused

    def _place(self, element: Element, scale: float) -> tuple[Placement, Part]:
        """Add an element to the mask, at the first tried angle and position that meets all rules."""
        broken: tuple[str, str] | None = None
        scale = 1.0 if self._at_border(element) else scale
        # numbers below 0 are tries of proposed places, those from 0 on of random ones; anchors leave nothing to propose
        proposer = self._ground.proposer if self._anchors is None else None
        for number in range(-PROPOSALS if proposer else 0, self._config.tries):
            proposal = proposer.propose(element.id, element.mask, self._rng) if proposer and number < 0 else None
            angle, shape, cut = self._posed(element, scale, proposal)
            if self._at_border(element) and cut is None:
                left, top = self._along_border(shape, element.borders)
            elif proposal is None:
                left, top = self._position(shape, element)
            else:
                left, top = proposal.corner((shape.shape[0], shape.shape[1]), self._shape)
            part = Part(shape, left, top)
            broken = broken_rule(self._mask, part, self._config, self._ground) or self._beyond_view(part)
            if broken is None:
                self._add(part)
                return Placement(element.id, element.source, left, top, angle, scale, cut), part
        assert broken is not None
        raise unmet(element.id, element.source, *broken, self._config)

    def _posed(
        self, element: Element, scale: float, proposal: Proposal | None
    ) -> tuple[float, NDArray[np.uint8], tuple[int, int, int, int] | None]:
        """(angle in degrees, turned and scaled shape, what was cut out of it as in `Placement.cut`)."""
        most = min(self._size, self._shape[0]), min(self._size, self._shape[1])
        if self._config.pose == "fixed":
            height, width = element.mask.shape
            if height > most[0] or width > most[1]:
                advice = f"it has {width} x {height} px, the view {most[1]} x {most[0]}; see it through larger windows"
                raise unmet(element.id, element.source, "pose fixed", advice, self._config)
            return 0.0, element.mask, None
        if self._at_border(element):
            return 0.0, *cut_to(element.mask, most, self._rng)
        angle = self._manner.turn(element, self._rng) if proposal is None else proposal.turn_deg
        if scale == 1 and angle % 90 == 0:  # without resampling, which would change the outline
            quarters = round(angle) // 90
            return angle, *cut_to(np.ascontiguousarray(np.rot90(element.mask, quarters)), most, self._rng)
        return angle, *cut_to(transform(element.mask, angle, scale), most, self._rng)

    def _at_border(self, element: Element) -> bool:
        """Whether the element must lie at the border that cut it off."""
        ground = self._ground
        is_ruled = ground.allowed is not None or ground.anchors is not None
        return self._manner.keeps_borders and bool(element.borders) and not is_ruled

    def _along_border(self, shape: NDArray[np.uint8], borders: str) -> tuple[int, int]:
        """(left, top) at the borders named in `borders`, anywhere along them."""
        (height, width), (rows, columns) = shape.shape, self._shape
        left, top = (int(self._rng.integers(room + 1)) for room in (columns - width, rows - height))
        if "L" in borders or "R" in borders:
            left = 0 if "L" in borders else columns - width
        if "T" in borders or "B" in borders:
            top = 0 if "T" in borders else rows - height
        return left, top

    def _position(self, shape: NDArray[np.uint8], element: Element) -> tuple[int, int]:
        """(left, top) to try: at a free anchor, or on an allowed pixel, or anywhere in reach of the other parts."""
        height, width = shape.shape
        left, top, right, bottom = self._reach()
        if self._anchors is not None:
            x, y = self._tried_anchor = self._free_anchor(element)
            return x - width // 2, y - height // 2
        # how far the part may hang over the border; `broken_rule` counts the pixels that do
        over_x, over_y = (int((1 - self._config.keep_inside) * length) for length in (width, height))
        if self._ground.allowed is None:
            x = int(self._rng.integers(left - over_x, right - width + over_x + 1))
            return x, int(self._rng.integers(top - over_y, bottom - height + over_y + 1))
        allowed = self._ground.allowed[top:bottom, left:right]
        if not cv2.countNonZero(allowed):
            advice = "no pixel of the view is allowed; draw a larger region"
            raise unmet(element.id, element.source, "region", advice, self._config)
        # a random pixel of the part comes onto a random allowed one: likelier to fit than a random corner, and every
        # possible place can come up. `room` holds the allowed pixels for which the part does not hang over too far
        row, column = random_pixel(shape, self._rng)
        y, x = max(row - over_y, 0), max(column - over_x, 0)
        room = allowed[y : row + bottom - top - height + over_y + 1, x : column + right - left - width + over_x + 1]
        if not cv2.countNonZero(room):  # the part will hang over the border
            y, x, room = 0, 0, allowed
        down, across = random_pixel_of_region(room, self._rng)
        return left + x + across - column, top + y + down - row

    def _free_anchor(self, element: Element) -> tuple[int, int]:
        """A random anchor on which no part stands yet."""
        assert self._anchors is not None and self._ground.anchors is not None
        if self._anchors:
            return self._anchors[int(self._rng.integers(len(self._anchors)))]
        rule, advice = "anchors", "the view holds none; use pictures that have some"
        if self._ground.anchors:
            rule = f"min_parts {self._config.min_parts}"
            advice = f"the view holds {len(self._ground.anchors)} anchors; allow fewer parts, or add anchors"
        raise unmet(element.id, element.source, rule, advice, self._config)

    def _reach(self) -> Extent:
        """Where a further part can lie so that one view can hold it and those that are there."""
        height, width = self._shape
        if self._extent is None:
            return 0, 0, width, height
        left, top, right, bottom = self._extent
        size = self._size
        return max(right - size, 0), max(bottom - size, 0), min(left + size, width), min(top + size, height)

    def _extended(self, part: Part) -> Extent:
        """The box around all parts and one more, within the picture."""
        height, width = self._shape
        right, bottom = part.left + part.mask.shape[1], part.top + part.mask.shape[0]
        left, top, right, bottom = max(part.left, 0), max(part.top, 0), min(right, width), min(bottom, height)
        if self._extent is None:
            return left, top, right, bottom
        x, y, end_x, end_y = self._extent
        return min(left, x), min(top, y), max(right, end_x), max(bottom, end_y)

    def _beyond_view(self, part: Part) -> tuple[str, str] | None:
        """The broken rule where no view could hold the part and the others, as `broken_rule` has it."""
        if self._ground.picture is None:
            return None  # the ground is a view
        left, top, right, bottom = self._extended(part)
        if max(right - left, bottom - top) <= self._size:
            return None
        return f"view {self._size}", "it lies too far from the other parts; allow fewer parts, or use larger windows"

    def _add(self, part: Part) -> None:
        below, inside = part.over(self._mask)  # `below` is a view of the mask
        np.maximum(below, inside, out=below)
        if self._ground.picture is not None:
            self._extent = self._extended(part)
        if self._anchors is not None:
            self._anchors.remove(self._tried_anchor)


def broken_rule(mask: NDArray[np.uint8], part: Part, config: MaskConfig, ground: Ground) -> tuple[str, str] | None:
    """The rule that a further part would break, with what is wrong and what to do; None where it breaks none."""
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
