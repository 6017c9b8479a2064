"""What a mask is put together from: shapes in their places, the ground that they may go to, and its refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.rationality.habits import Proposer
from infra.errors import DataError


class PlacementError(DataError):
    """No try met a rule of placement."""


@dataclass(frozen=True)
class Placement:
    """Where one element went: the audit trail of a mask.

    Attributes:
        element: its id.
        source: where its shape is from.
        left, top: corner of its box in the view, in px; negative where it hangs over the border.
        angle_deg: its turn, counter-clockwise.
        scale: 1 keeps its size.
        cut: (left, top, width, height) of the piece of the turned and scaled element that was taken, because the whole
            is larger than the view; None = all of it.
    """

    element: str
    source: str
    left: int
    top: int
    angle_deg: float
    scale: float
    cut: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Part:
    """A shape in its place.

    Attributes:
        mask: [h, w] uint8 {0, 1}.
        left, top: where the mask's first column and row lie, in px; negative where it hangs over the border.
    """

    mask: NDArray[np.uint8]
    left: int
    top: int

    def over(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What lies below the part within the picture, and the part's own pixels there.

        Both have the same shape, which is empty for a part beyond the border. The first shares the picture's memory, so
        that writing into it changes the picture.
        """
        height, width = self.mask.shape
        # slices are cut at the far border by themselves; at the near one a negative start would count from the end
        top, left = max(self.top, 0), max(self.left, 0)
        below = picture[top : max(self.top + height, 0), left : max(self.left + width, 0)]
        y, x = top - self.top, left - self.left
        return below, self.mask[y : y + below.shape[0], x : x + below.shape[1]]

    def grown(self, distance_px: int) -> "Part":
        """The part with all pixels that are nearer to it than a distance of 1 px or more."""
        margin = distance_px - 1
        wide = cv2.copyMakeBorder(self.mask, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=[0])
        return Part(cv2.dilate(wide, _disc(distance_px)).astype(np.uint8), self.left - margin, self.top - margin)


@dataclass(frozen=True)
class PlacedMask:
    """A mask and how it was made.

    Attributes:
        mask: [H, W] uint8 {0, 1}, of the ground's size, never empty.
        placements: where each part went.
        parts: the parts themselves, in the same order; not cut at the border.
    """

    mask: NDArray[np.uint8]
    placements: tuple[Placement, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Ground:
    """Where parts may go in a view, or in a whole picture out of which the view is cut afterwards.

    Attributes:
        allowed: [H, W] uint8 {0, 1}; None = everywhere.
        anchors: (x, y) in px, the points on which a part's centre must lie, one part on each; None = none are known.
        picture: height and width of the whole picture; None = the view itself. All parts lie in one view's width and
            height then.
        proposer: how parts might lie, tried before random places; None = random places alone.
    """

    allowed: NDArray[np.uint8] | None = None
    anchors: Sequence[tuple[int, int]] | None = None
    picture: tuple[int, int] | None = None
    proposer: Proposer | None = None


EVERYWHERE = Ground()


def unmet(element: str, source: str, rule: str, advice: str, config: MaskConfig) -> PlacementError:
    """The error that says that no try met a rule.

    Args:
        element, source: the element's id, and where its shape is from.
        rule: the rule, by its key and value.
        advice: what is wrong and what to do.
    """
    return PlacementError(
        f"mask pool: element {element} ({source}) does not meet {rule} in {config.tries} tries: {advice}"
    )


@cache
def _disc(radius_px: int) -> NDArray[np.uint8]:
    """[2 * radius - 1, 2 * radius - 1] uint8, 1 where a pixel is nearer to the centre than the radius."""
    rows, columns = np.indices((2 * radius_px - 1, 2 * radius_px - 1)) - (radius_px - 1)
    return (rows**2 + columns**2 < radius_px**2).astype(np.uint8)
