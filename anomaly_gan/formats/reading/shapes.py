"""labelme's shapes -> pixels, with the primitives, widths and rounding that labelme itself uses."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from infra.errors import DataError

LINE_WIDTH_PX = 10
POINT_RADIUS_PX = 5
MAX_SIDES = 10
"""Points further off than this many picture sides are refused: a circle takes time with its radius."""
CORNERS = ("rotation", "oriented_rectangle", "quadrilateral")
"""Boxes that need not be upright, with their four corners, as labelme 6 and X-AnyLabeling write them."""
POINTS_NEEDED = {
    "polygon": (3, None),
    "rectangle": (2, 2),
    **dict.fromkeys(CORNERS, (4, 4)),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "mask": (2, 2),
}

Points = Sequence[tuple[float, float]]


def draw_shape(
    kind: str, points: Points, shape: tuple[int, int], name: str, bitmap: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Draw one shape.

    Args:
        kind: polygon, rectangle (two opposite corners, or all four), one of CORNERS, circle (centre, edge), line,
            linestrip, point, mask (its box).
        points: (x, y) in pixels.
        shape: [H, W] of the picture; what lies outside is cut off.
        name: how messages call the shape.
        bitmap: [h, w] {0, 1} of kind `mask`.

    Returns:
        [H, W] uint8 {0, 1}.

    Raises:
        DataError: unknown kind, wrong number of points, a point far outside.
    """
    if kind == "rectangle" and len(points) == 4:
        kind = "polygon"
    _check(kind, points, shape, name)
    if kind == "mask":
        return _place(bitmap, points[0], shape, name)
    canvas = Image.new("L", (shape[1], shape[0]))
    draw = ImageDraw.Draw(canvas)
    if kind == "rectangle":
        (x1, y1), (x2, y2) = points
        draw.rectangle([min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)], outline=1, fill=1)
    elif kind == "circle":
        draw.ellipse(_disc(points[0], math.dist(*points)), outline=1, fill=1)
    elif kind == "point":
        draw.ellipse(_disc(points[0], POINT_RADIUS_PX), outline=1, fill=1)
    elif kind in ("line", "linestrip"):
        draw.line(list(points), fill=1, width=LINE_WIDTH_PX)
    else:
        draw.polygon(list(points), outline=1, fill=1)
    return np.array(canvas, dtype=np.uint8)


def _check(kind: str, points: Points, shape: tuple[int, int], name: str) -> None:
    if kind not in POINTS_NEEDED:
        raise DataError(f"{name}: unknown shape type {kind!r}; known are {', '.join(POINTS_NEEDED)}")
    least, most = POINTS_NEEDED[kind]
    if len(points) < least or (most is not None and len(points) > most):
        wanted = f"{least}" if most else f"at least {least}"
        raise DataError(f"{name}: a {kind} needs {wanted} points, got {len(points)}; draw it again")
    limit = MAX_SIDES * max(shape)
    if not all(abs(value) <= limit for point in points for value in point):  # false for NaN too
        raise DataError(f"{name}: a point lies far outside the picture; draw it again")


def _disc(centre: tuple[float, float], radius: float) -> list[float]:
    x, y = centre
    return [x - radius, y - radius, x + radius, y + radius]


def _place(
    bitmap: NDArray[np.uint8] | None, top_left: tuple[float, float], shape: tuple[int, int], name: str
) -> NDArray[np.uint8]:
    if bitmap is None or bitmap.ndim != 2:
        raise DataError(f"{name}: a mask needs a grey picture in 'mask'; draw it again")
    x, y = int(top_left[0]), int(top_left[1])
    placed = np.zeros(shape, np.uint8)
    target = placed[max(y, 0) : y + bitmap.shape[0], max(x, 0) : x + bitmap.shape[1]]
    source = bitmap[max(-y, 0) :, max(-x, 0) :]
    target[:] = source[: target.shape[0], : target.shape[1]]
    return placed
