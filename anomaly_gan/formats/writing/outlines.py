"""Masks -> polygons that give the mask back when they are filled, whoever fills them.

The outline runs INSET px inside the border of the pixels. A reader that cuts coordinates to whole pixels and draws the
outline too (OpenCV, and so Ultralytics) finds the mask's own pixels; for one that fills up to the exact outline (COCO's
tools) a line of one pixel is still nearly as wide as that pixel. One pixel has four points.
"""

from collections import defaultdict

import cv2
import numpy as np
from numpy.typing import NDArray

INSET = 0.01
"""More than what rounding to six digits moves a point in a picture of 10,000 px, far less than a pixel."""

Line = NDArray[np.int32]
"""[n, 2] closed line of (x, y), counted in half pixels."""


def outlines(mask: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """One polygon for each 8-connected part.

    A hole is joined to what lies left of it by a bridge that is run along twice, there and back, on pixels of the mask.

    Args:
        mask: [H, W] {0, 1}.

    Returns:
        [n, 2] (x, y) in px each, n at least 4; a picture reaches from 0 to its width and height.
    """
    doubled = mask.repeat(2, axis=0).repeat(2, axis=1)
    found, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [line[:, 0].astype(np.int32) for line in found]
    parents = tree[0][:, 3].tolist() if lines else []
    holes = defaultdict(list)
    for line, parent in zip(lines, parents, strict=True):
        holes[parent].append(line)
    polygons = []
    for number, (line, parent) in enumerate(zip(lines, parents, strict=True)):
        if parent < 0:
            for hole in sorted(holes[number], key=lambda one: int(one[:, 0].min())):  # each finds the ones left of it
                line = _joined(line, hole, doubled)
            polygons.append(_corners(line))
    return polygons


def _joined(line: Line, hole: Line, mask: NDArray[np.uint8]) -> Line:
    """The line with a hole in it, whose leftmost point is joined to the first border on its left."""
    start = int(hole[:, 0].argmin())
    x, y = hole[start].tolist()
    border = int(np.flatnonzero(mask[y, :x] == 0).max(initial=-1)) + 1
    at = int(np.flatnonzero((line == (border, y)).all(axis=1))[0])
    return np.concatenate([line[: at + 1], hole[start:], hole[: start + 1], line[at:]])


def _corners(line: Line) -> NDArray[np.float64]:
    """The points where the direction changes, in px, moved from the half pixel's centre to INSET off the border."""
    steps = np.sign(np.diff(line, axis=0, append=line[:1]))
    kept = line[(steps != np.roll(steps, 1, axis=0)).any(axis=1)]
    corners: NDArray[np.float64] = kept // 2 + np.where(kept % 2 == 0, INSET, 1 - INSET)
    return corners
