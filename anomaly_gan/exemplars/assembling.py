"""Fills a mask with the texture of a real anomaly of another shape.

Pieces of the exemplar are shifted over the mask by whole pixels, so that texture keeps its scale and its direction.
Each pixel takes the piece in which it lies as deep below the outline as in the mask: rims come to rims, and the middle
to the middle. The result is a new anomaly of the same kind, since no other mask is cut into the same pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.exemplars.exemplar import Exemplar, signed_depth
from anomaly_gan.exemplars.setting import Setting

RING_PX = 4
"""Width of the ring around a mask that is filled too: the shade around an anomaly."""
DEEP_PX = 6.0
"""Deeper than this, one pixel is as good as another."""
BEYOND = 8.0
"""Cost of a pixel that lies within the mask but beyond the exemplar's, in px of depth."""
SMOOTH_PX = 5
"""Side of the square over which costs are averaged, so that pieces have some size."""
GAIN = 0.3
"""Least improvement, in px of depth, for which a piece replaces another."""
GOOD = 0.5
"""In px of depth; where pixels are this near in the mean, no further piece is tried."""
MOST_PARTS = 16
"""Parts of a mask that get an exemplar each."""
LONG = 2.0
"""Elongation from which a shape has a direction that its texture follows."""
LEAST_TURN_DEG = 10.0
"""Smaller turns would cost more texture than they bring direction."""
FEWEST, MOST = 8, 24
"""Pieces that are tried."""


@dataclass(frozen=True)
class LaidTexture:
    """How the anomaly of a mask is to differ from its surroundings.

    Attributes:
        source: key of the picture of its largest part's exemplar; None where there was none.
        planes: [1 or 3, H, W] float32 in -1..1, see `Exemplar.contrast`.
    """

    source: str | None
    planes: NDArray[np.float32]


def lay_texture(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], exemplars: Sequence[Exemplar], seed: Sequence[int]
) -> LaidTexture:
    """The texture of one of the exemplars, laid into a mask; none of it where there is no exemplar.

    Args:
        image: [H, W] or [H, W, 3] uint8, in which the anomaly is to be.
        mask: [H, W] uint8 {0, 1}.
        exemplars: any number of them.
        seed: decides which one, and its pieces.
    """
    if not exemplars:
        return LaidTexture(None, np.zeros((1, *mask.shape), np.float32))
    rng = np.random.default_rng(list(seed))
    # as many for every mask, since exemplars may be grey and in colour
    planes = np.zeros((*mask.shape, 3 if any(one.image.ndim == 3 for one in exemplars) else 1), np.float32)
    source: str | None = None
    for part in _parts(mask):
        chosen = choose_exemplar(part, exemplars, rng, Setting.of(image, part))
        laid = assemble(part, chosen, rng)
        # what lies around one part leaves another part alone
        is_its = laid.any(2) & ((mask == 0) | (part > 0))
        planes[is_its] = laid[is_its]
        source = source or chosen.source
    return LaidTexture(source, planes.transpose(2, 0, 1))


def _parts(mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The 8-connected parts from the largest down; those beyond `MOST_PARTS` together."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    by_size = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    parts = [(labels == label).astype(np.uint8) for label in by_size[:MOST_PARTS]]
    if len(by_size) > MOST_PARTS:
        parts.append(np.isin(labels, by_size[MOST_PARTS:]).astype(np.uint8))
    return parts


def choose_exemplar(
    mask: NDArray[np.uint8], exemplars: Sequence[Exemplar], rng: np.random.Generator, setting: Setting | None = None
) -> Exemplar:
    """One of them, the likelier the nearer in size, elongation and what is around it, mirrored by chance.

    Four times as large, or as small, is a sixteenth as likely: small pieces in a large mask show as a mosaic. For a
    long mask, a long one is turned to its direction: a crack runs along its mask.

    Args:
        mask: [H, W] uint8 {0, 1}, what is to be filled; not empty.
        exemplars: one at least.
        rng: the only source of chance.
        setting: of the mask; None = none is likelier than another for what is around it.
    """
    area, direction = cv2.countNonZero(mask), Direction.of(mask)
    likely = np.array(
        [
            _likeness(one.area_px, area) ** 2
            * _likeness(one.direction.elongation, direction.elongation)
            * (1.0 if setting is None or one.setting is None else setting.likeness(one.setting))
            for one in exemplars
        ]
    )
    chosen = exemplars[int(rng.choice(len(exemplars), p=likely / likely.sum()))]
    horizontal, vertical = rng.random(2) < 0.5
    chosen = chosen.flipped(horizontal=bool(horizontal), vertical=bool(vertical))
    turn = chosen.direction.turn_to(direction)
    are_long = min(chosen.direction.elongation, direction.elongation) >= LONG
    return chosen.turned(turn) if are_long and abs(turn) >= LEAST_TURN_DEG else chosen


def _likeness(one: float, other: float) -> float:
    """0..1, 1 where two sizes are the same."""
    return min(one / other, other / one)


def assemble(mask: NDArray[np.uint8], exemplar: Exemplar, rng: np.random.Generator) -> NDArray[np.float32]:
    """How an anomaly of this shape differs from its surroundings.

    Args:
        mask: [H, W] uint8 {0, 1}; of an empty one nothing differs.
        exemplar: whose texture it has.
        rng: the only source of chance.

    Returns:
        [H, W, 1 or 3] in -1..1, see `Exemplar.contrast`; 0 farther than `RING_PX` from the mask.
    """
    filled = np.zeros((*mask.shape, exemplar.contrast.shape[2]), np.float32)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return filled
    # nothing farther away is filled, so the rest of the picture is left out
    place = np.s_[
        max(top - RING_PX - 1, 0) : top + height + RING_PX + 1, max(left - RING_PX - 1, 0) : left + width + RING_PX + 1
    ]
    pieces = _Pieces(mask[place], exemplar)
    for number in range(MOST):
        if number >= FEWEST and pieces.is_good:
            break
        pieces.lay(rng)
    filled[place] = pieces.filled * (pieces.depth > -RING_PX)[:, :, None]
    return filled


class _Pieces:
    """What is laid so far.

    Attributes:
        filled: [h, w, 1 or 3].
        depth: [h, w], of the mask to be filled.
    """

    def __init__(self, mask: NDArray[np.uint8], exemplar: Exemplar) -> None:
        self.depth = signed_depth(mask)
        self.filled = np.zeros((*mask.shape, exemplar.contrast.shape[2]), np.float32)
        self._inside = mask > 0
        self._exemplar = exemplar
        self._wanted = np.clip(self.depth, -DEEP_PX, DEEP_PX)
        self._offered = np.clip(exemplar.depth, -DEEP_PX, DEEP_PX)
        self._costs = np.full(mask.shape, np.inf, np.float32)

    @property
    def is_good(self) -> bool:
        return bool(self._costs[self._inside].mean() <= GOOD)

    def lay(self, rng: np.random.Generator) -> None:
        """Shift the exemplar so that one pixel in need lies as deep in it as in the mask, and take what is better."""
        need = np.minimum(self._costs, BEYOND) * self._inside
        upto = np.cumsum(need.ravel())
        if not upto[-1]:
            return
        row, column = divmod(int(np.searchsorted(upto, rng.random() * upto[-1])), need.shape[1])
        y, x = self._as_deep(float(self.depth[row, column]), rng)
        down, across = row - y, column - x
        height, width = self._exemplar.mask.shape
        there = np.s_[
            max(down, 0) : min(down + height, need.shape[0]), max(across, 0) : min(across + width, need.shape[1])
        ]
        here = np.s_[there[0].start - down : there[0].stop - down, there[1].start - across : there[1].stop - across]
        cost = np.abs(self._wanted[there] - self._offered[here])
        cost += BEYOND * (self._inside[there] & (self._exemplar.mask[here] == 0))
        cost = cv2.blur(cost, (SMOOTH_PX, SMOOTH_PX)).astype(np.float32)
        is_better = cost < self._costs[there] - GAIN
        is_first = np.isinf(self._costs[there])
        # pieces are laid over earlier ones with a soft border, over nothing with a hard one
        soft = cv2.blur(is_better.astype(np.float32), (3, 3))
        share = np.where(is_first, is_better, soft)[:, :, None]
        self.filled[there] += share * (self._exemplar.contrast[here] - self.filled[there])
        self._costs[there] = np.where(is_better, cost, self._costs[there])

    def _as_deep(self, depth: float, rng: np.random.Generator) -> tuple[int, int]:
        """(row, column) of a random pixel of the exemplar that is as deep, or one of the deepest tenth."""
        depths, rows, columns = self._exemplar.by_depth
        low, high = np.searchsorted(depths, (depth - 0.75, depth + 0.75))
        if low == high:
            low, high = (len(depths) - max(len(depths) // 10, 1), len(depths)) if low == len(depths) else (low, low + 1)
        chosen = int(rng.integers(low, min(high, len(depths))))
        return int(rows[chosen]), int(columns[chosen])
