"""Plans what a normal picture gets: a view of it, and a mask in the view, the most rational of several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.masks.placing.parts import Ground, PlacedMask, Placement, PlacementError
from anomaly_gan.masks.placing.placement import place
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.masks.rationality.context import PictureContext, describe_picture
from anomaly_gan.masks.rationality.habits import Proposer
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import cut_window, take_view
from infra.errors import DataError

MAX_CANDIDATES = 64
"""Most masks that compete for one picture, however high the rationality: each costs a placement."""
PROPOSED_EVERY = 4
"""One of this many competing masks is proposed from real ones, the others lie anywhere.

Random masks alone reached the rim of a picture too seldom, and two proposed ones of four too often (ADR 12).
"""

ALLOWED, ANCHORS = "allowed", "anchors"
"""Names under which regions and anchors of a normal picture travel as masks while the view is cut out of it."""


@dataclass(frozen=True)
class PlannedMask:
    """A view of a normal picture and the mask of what is to appear in it.

    Attributes:
        view: [size, size], without masks.
        mask: [size, size] uint8 {0, 1}.
        rationality: 0..1, see `masks.rationality`; None where nothing was learnt or it was not asked for.
    """

    view: Sample
    mask: NDArray[np.uint8]
    placements: tuple[Placement, ...]
    rationality: float | None


class MaskPlanner:
    """Plans masks of one pool; it keeps a description of each picture, which takes long to compute."""

    def __init__(self, pool: MaskPool, view: ViewConfig, config: MaskConfig) -> None:
        """Raises:
        DataError: rationality is asked of a pool that has learnt none.
        """
        if config.rationality and pool.rationality is None:
            raise DataError(
                f"mask pool: nothing was learnt of where class {pool.class_name} lies; build a pool with"
                " `agan masks build` and name it, or set masks.rationality=0"
            )
        self._pool, self._view, self._config = pool, view, config
        self._anchored = config.pose == "fixed" and bool(pool.anchors)
        self._contexts: dict[str, PictureContext] = {}

    def fitting(self, normals: Sequence[Sample]) -> Sequence[Sample]:
        """The pictures that take elements: where they stand at anchors alone, those that have one.

        Raises:
            DataError: there is none.
        """
        if not self._anchored:
            return normals
        fitting = [normal for normal in normals if self._pool.anchors.get(normal.key)]
        if not fitting:
            raise DataError(
                f"mask pool: none of {len(normals)} normal pictures has an anchor of class"
                f" {self._pool.class_name}; add some, or set masks.pose=natural"
            )
        return fitting

    def plan(self, normal: Sample, rng: np.random.Generator, *, like_real: bool = False) -> PlannedMask:
        """A view and a mask for a normal picture.

        Without `rationality` the view is drawn first, then a mask in it. With it, masks are drawn in the whole picture,
        and the view is cut around the most rational one of about 1 / (1 - rationality), at most 64. How one of every
        PROPOSED_EVERY lies is proposed from real masks.

        Args:
            normal: one of `fitting`, of any size for windows, else of the view's.
            rng: the only source of chance.
            like_real: see `masks.placement.place`; but for a free pose, the view is then cut as that of a real anomaly,
                around a random pixel of the mask.

        Raises:
            PlacementError: a rule of the config is not met in the picture; names the element and the rule.
            DataError: no element has the area that is asked for.
        """
        seen_as_real = like_real and self._config.pose != "free"
        if self._config.rationality:
            score, placed = self._most_rational(normal, rng, like_real)
        elif self._view.kind == "window" and (seen_as_real or self._config.pose == "natural"):
            # in the whole picture, where its borders are
            score, placed = None, self._placed(normal.key, self._ground(normal), None, rng, like_real)
        else:
            view, placed = self._candidate(self._prepared(normal), rng, like_real)
            return PlannedMask(view, placed.mask, placed.placements, None)
        if seen_as_real:
            return _seen_as_real(normal, self._view, score, placed, rng)
        return _cut_view(normal, self._view, score, placed, rng)

    def _most_rational(self, normal: Sample, rng: np.random.Generator, like_real: bool) -> tuple[float, PlacedMask]:
        learnt = self._pool.rationality
        assert learnt is not None
        context, ground = self._context(normal), self._ground(normal)
        best: tuple[float, PlacedMask] | None = None
        for number in range(self._candidates(rng)):
            # the second of every four: a mask that has no competitor lies anywhere
            is_proposed = number % PROPOSED_EVERY == 1
            placed = self._placed(normal.key, ground, self._proposer(context) if is_proposed else None, rng, like_real)
            score = learnt.score(context, placed.parts)
            if best is None or score > best[0]:
                best = score, placed
        assert best is not None
        return best

    def _proposer(self, context: PictureContext) -> Proposer | None:
        """Proposes places like those of real parts; None where no real parts are known."""
        learnt = self._pool.rationality
        assert learnt is not None
        turns = self._config.angle_min, self._config.angle_max
        return Proposer(learnt.habits, context, learnt.knows_place, turns) if learnt.habits.parts else None

    def _placed(
        self, key: str, ground: Ground, proposer: Proposer | None, rng: np.random.Generator, like_real: bool
    ) -> PlacedMask:
        """One mask in a whole picture; where a rule of the picture's own refuses one, others are tried."""
        is_ruled = ground.allowed is not None or ground.anchors is not None
        ground = replace(ground, proposer=proposer)
        # real masks are larger than a view at times, and windows cut them
        seen_as_real = like_real and self._config.pose != "free"
        size = max(self._view.size, *ground.picture) if seen_as_real and ground.picture else self._view.size
        as_cut = like_real and self._config.pose == "natural"
        # a mask that is to lie as real ones do has as many parts as they have
        like_real = like_real or proposer is not None
        refused: PlacementError | None = None
        # another element may fit a region or an anchor; where the picture rules nothing, the config's rules refuse
        for _ in range(self._config.tries if is_ruled else 1):
            try:
                return place(self._pool, size, self._config, rng, ground=ground, like_real=like_real, as_cut=as_cut)
            except PlacementError as err:
                refused = err
        raise PlacementError(f"picture {key}: {refused}") from refused

    def _ground(self, normal: Sample) -> Ground:
        """Where parts may go in a whole picture."""
        height, width = normal.image.shape[:2]
        anchors = _centres(self._pool, normal) if self._anchored else None
        return Ground(self._allowed(normal), anchors, (height, width))

    def _candidates(self, rng: np.random.Generator) -> int:
        """How many masks compete; the fraction of 1 / (1 - rationality) is rounded up as often as it says."""
        missed = max(1 - self._config.rationality, 1 / MAX_CANDIDATES)
        return int(1 / missed + rng.random())

    def _allowed(self, normal: Sample) -> NDArray[np.uint8] | None:
        allowed = self._pool.allowed(normal)
        if allowed is not None and not allowed.any():
            raise PlacementError(f"mask pool: picture {normal.key} has no allowed pixel; draw a larger region")
        return allowed

    def _prepared(self, normal: Sample) -> Sample:
        """The picture with its region and its anchors as masks, so that a window cuts all of them in the same way."""
        known: dict[str, NDArray[np.uint8]] = {}
        allowed = self._allowed(normal)
        if allowed is not None:
            known[ALLOWED] = allowed
        if self._anchored:
            # one pixel for each anchor
            known[ANCHORS] = np.zeros(normal.image.shape[:2], np.uint8)
            for x, y in _centres(self._pool, normal):
                known[ANCHORS][y, x] = 1
        return Sample(normal.key, normal.image, known, meta=normal.meta)

    def _candidate(self, prepared: Sample, rng: np.random.Generator, like_real: bool) -> tuple[Sample, PlacedMask]:
        """One random view and mask; where a window has no room, other windows are tried."""
        # a window with an anchor, or else with an allowed pixel: most windows of a large picture have neither
        around = next((name for name in (ANCHORS, ALLOWED) if name in prepared.masks), None)
        refused: PlacementError | None = None
        for _ in range(self._config.tries if around and self._view.kind == "window" else 1):
            view = take_view(prepared, self._view, rng, around)
            plain = Sample(view.key, view.image, meta=view.meta)  # region and anchors are no anomalies
            try:
                ground = _ground(prepared, view)
                return plain, place(
                    self._pool,
                    self._view.size,
                    self._config,
                    rng,
                    ground=ground,
                    like_real=like_real,
                    as_cut=like_real and self._config.pose == "natural",
                )
            except PlacementError as err:
                refused = err
        raise PlacementError(f"picture {prepared.key}: {refused}") from refused

    def _context(self, normal: Sample) -> PictureContext:
        context = self._contexts.get(normal.key)
        if context is None:
            context = self._contexts[normal.key] = describe_picture(normal.image)
        return context


def _seen_as_real(
    normal: Sample, view: ViewConfig, score: float | None, placed: PlacedMask, rng: np.random.Generator
) -> PlannedMask:
    """The view around a random pixel of the mask of the whole picture, as views of real anomalies are cut."""
    name = "mask"
    seen = take_view(Sample(normal.key, normal.image, {name: placed.mask}, meta=normal.meta), view, rng, name)
    left, top, _ = seen.meta.get("window", (0, 0, view.size))
    placements = tuple(replace(one, left=one.left - left, top=one.top - top) for one in placed.placements)
    return PlannedMask(Sample(seen.key, seen.image, meta=seen.meta), seen.masks[name], placements, score)


def _cut_view(
    normal: Sample, view: ViewConfig, score: float | None, placed: PlacedMask, rng: np.random.Generator
) -> PlannedMask:
    """The view around a mask of the whole picture: any window that holds all of it."""
    if view.kind == "whole":
        whole = take_view(Sample(normal.key, normal.image, meta=normal.meta), view, rng, None)
        return PlannedMask(whole, placed.mask, placed.placements, score)
    height, width = placed.mask.shape
    x, y, columns, rows = cv2.boundingRect(placed.mask)
    left = _start_before(x, x + columns, width, view.size, rng)
    top = _start_before(y, y + rows, height, view.size, rng)
    image = cut_window(normal.image, top, left, view.size)
    # [size, size]; where the picture is smaller than the window, its mirrored rest stays outside the mask
    mask = np.zeros((view.size, view.size), np.uint8)
    seen = placed.mask[top : top + view.size, left : left + view.size]
    mask[: seen.shape[0], : seen.shape[1]] = seen
    window = Sample(normal.key, image, meta={**normal.meta, "window": [left, top, view.size]})
    placements = tuple(replace(one, left=one.left - left, top=one.top - top) for one in placed.placements)
    return PlannedMask(window, mask, placements, score)


def _start_before(first: int, end: int, length: int, size: int, rng: np.random.Generator) -> int:
    """A window start that keeps all from `first` to before `end` inside, uniform over the possible ones."""
    return int(rng.integers(max(end - size, 0), min(first, max(length - size, 0)) + 1))


def _centres(pool: MaskPool, normal: Sample) -> list[tuple[int, int]]:
    """(x, y) in px of the picture's anchor boxes, each once, in the order of the rows."""
    found = {(int(top + height / 2), int(left + width / 2)) for left, top, width, height in pool.anchors[normal.key]}
    return [(x, y) for y, x in sorted(found)]


def _ground(prepared: Sample, view: Sample) -> Ground:
    """Where parts may go in the view. A region or anchors without a pixel in the view were left out of its masks."""
    empty = np.zeros(view.image.shape[:2], np.uint8)
    allowed = view.masks.get(ALLOWED, empty) if ALLOWED in prepared.masks else None
    if ANCHORS not in prepared.masks:
        return Ground(allowed)
    return Ground(allowed, [(int(x), int(y)) for y, x in np.argwhere(view.masks.get(ANCHORS, empty))])
