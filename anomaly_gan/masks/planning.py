"""What a normal picture gets: the view of it, and the mask in that view, the most rational of some random ones."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.data import Sample
from anomaly_gan.masks.context import PictureContext, describe_picture
from anomaly_gan.masks.placement import Ground, Part, PlacedMask, Placement, PlacementError, place
from anomaly_gan.masks.pool import MaskPool
from anomaly_gan.views import take_view
from infra.errors import DataError

MAX_CANDIDATES = 64
KEPT_PICTURES = 64
ALLOWED, ANCHORS = "allowed", "anchors"
"""Names of what is known of a normal picture, while the view is cut out of it."""


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
    """Plans masks of one pool; what it knows of the pictures seen last is kept."""

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
        self._contexts: OrderedDict[str, PictureContext] = OrderedDict()

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
                f" {self._pool.class_name}; add some, or set masks.pose=free"
            )
        return fitting

    def plan(self, normal: Sample, rng: np.random.Generator, *, like_real: bool = False) -> PlannedMask:
        """A view and a mask for a normal picture.

        With `rationality` r the mask is the most rational one of about 1 / (1 - r) random ones, at most 64, so that on
        average it beats a share r of them.

        Args:
            normal: one of `fitting`, of any size for windows, else of the view's.
            rng: the only source of chance.
            like_real: see `masks.placement.place`.

        Raises:
            PlacementError: a rule of the config is not met in the picture; names the element and the rule.
            DataError: no element has the area that is asked for.
        """
        prepared = self._prepared(normal)
        if not self._config.rationality:
            view, placed = self._candidate(prepared, rng, like_real)
            return PlannedMask(view, placed.mask, placed.placements, None)
        best: PlannedMask | None = None
        for _ in range(self._candidates(rng)):
            view, placed = self._candidate(prepared, rng, like_real)
            score = self._score(normal, view, placed)
            if best is None or best.rationality is None or score > best.rationality:
                best = PlannedMask(view, placed.mask, placed.placements, score)
        assert best is not None
        return best

    def _candidates(self, rng: np.random.Generator) -> int:
        missed = max(1 - self._config.rationality, 1 / MAX_CANDIDATES)
        return int(1 / missed + rng.random())

    def _prepared(self, normal: Sample) -> Sample:
        """The picture with what is known of it as masks, so that windows are cut out of all alike."""
        known: dict[str, NDArray[np.uint8]] = {}
        allowed = self._pool.allowed(normal)
        if allowed is not None:
            if not allowed.any():
                raise PlacementError(f"mask pool: picture {normal.key} has no allowed pixel; draw a larger region")
            known[ALLOWED] = allowed
        if self._anchored:
            known[ANCHORS] = _centres(self._pool, normal)
        return Sample(normal.key, normal.image, known, meta=normal.meta)

    def _candidate(self, prepared: Sample, rng: np.random.Generator, like_real: bool) -> tuple[Sample, PlacedMask]:
        """One random view and mask; where a window has no room, other windows are tried."""
        around = next((name for name in (ANCHORS, ALLOWED) if name in prepared.masks), None)
        refused: PlacementError | None = None
        for _ in range(self._config.tries if around and self._view.kind == "window" else 1):
            view = take_view(prepared, self._view, rng, around)
            plain = Sample(view.key, view.image, meta=view.meta)
            try:
                ground = _ground(prepared, view)
                return plain, place(self._pool, self._view.size, self._config, rng, ground=ground, like_real=like_real)
            except PlacementError as err:
                refused = err
        raise PlacementError(f"picture {prepared.key}: {refused}") from refused

    def _score(self, normal: Sample, view: Sample, placed: PlacedMask) -> float:
        assert self._pool.rationality is not None
        left, top, _ = view.meta.get("window", (0, 0, 0))
        parts = [Part(part.mask, part.left + left, part.top + top) for part in placed.parts]
        return self._pool.rationality.score(self._context(normal), parts)

    def _context(self, normal: Sample) -> PictureContext:
        context = self._contexts.get(normal.key)
        if context is None:
            context = self._contexts[normal.key] = describe_picture(normal.image)
            if len(self._contexts) > KEPT_PICTURES:
                self._contexts.popitem(last=False)
        else:
            with suppress(KeyError):  # another thread has just dropped it
                self._contexts.move_to_end(normal.key)
        return context


def _centres(pool: MaskPool, normal: Sample) -> NDArray[np.uint8]:
    """[H, W] {0, 1}: the centres of the picture's anchor boxes."""
    centres = np.zeros(normal.image.shape[:2], np.uint8)
    for left, top, width, height in pool.anchors[normal.key]:
        centres[int(top + height / 2), int(left + width / 2)] = 1
    return centres


def _ground(prepared: Sample, view: Sample) -> Ground:
    """What is known of the view; a mask that has no pixel in it was left out of it."""
    empty = np.zeros(view.image.shape[:2], np.uint8)
    allowed = view.masks.get(ALLOWED, empty) if ALLOWED in prepared.masks else None
    if ANCHORS not in prepared.masks:
        return Ground(allowed)
    return Ground(allowed, [(int(x), int(y)) for y, x in np.argwhere(view.masks.get(ANCHORS, empty))])
