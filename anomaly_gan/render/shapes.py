"""Antialiased drawing primitives on grey canvases, lit from the top left."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Field = NDArray[np.float32]
Points = NDArray[np.float64]

LIGHT_ANGLE = -3 * np.pi / 4
WASHER_RATIO = 1.32
_SUBPIXEL_BITS = 4


def fixed_point(points: Points) -> NDArray[np.int32]:
    """Return pixel coordinates [..., 2] as the fixed-point integers OpenCV draws sub-pixel shapes from."""
    return np.asarray(np.round(points * 2**_SUBPIXEL_BITS), dtype=np.int32)


def fill_polygon(canvas: Grey, points: Points, tone: float) -> None:
    """Fill the polygon `points` [N, 2] (x, y in canvas pixels) with `tone` 0..255."""
    cv2.fillPoly(canvas, [fixed_point(points)], clip_tone(tone), cv2.LINE_AA, _SUBPIXEL_BITS)


def fill_convex(canvas: Grey, points: NDArray[np.int32], tone: float) -> None:
    """Fill a convex polygon of fixed-point corners [N, 2], edges included, without antialiasing."""
    cv2.fillConvexPoly(canvas, points, clip_tone(tone), cv2.LINE_8, _SUBPIXEL_BITS)


def fill_box(canvas: Grey, left: float, top: float, right: float, bottom: float, tone: float) -> None:
    """Fill the axis-aligned box (canvas pixels) with `tone` 0..255."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)
    fill_polygon(canvas, corners, tone)


def fill_disc(canvas: Grey, centre: Points, radius: float, tone: float) -> None:
    """Fill a disc around `centre` [2] with `tone` 0..255."""
    x, y = fixed_point(centre)
    scaled = round(radius * 2**_SUBPIXEL_BITS)
    cv2.circle(canvas, (int(x), int(y)), scaled, clip_tone(tone), -1, cv2.LINE_AA, _SUBPIXEL_BITS)


def draw_line(canvas: Grey, points: Points, width: float, tone: float) -> None:
    """Draw the open polyline `points` [N, 2] with `tone` 0..255; `width` is in canvas pixels, at least 1."""
    thickness = max(1, round(width))
    cv2.polylines(canvas, [fixed_point(points)], False, clip_tone(tone), thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def draw_arc(canvas: Grey, centre: Points, radius: float, middle: float, width: float, tone: float) -> None:
    """Draw a third of a circle around `centre`, its middle at the angle `middle` (radians)."""
    angles = np.linspace(middle - np.pi / 3, middle + np.pi / 3, 20)
    draw_line(canvas, centre + radius * unit_vectors(angles), width, tone)


def draw_washer(canvas: Grey, centre: Points, radius: float, tone: float) -> None:
    """Draw the washer below a bolt head of `radius`: a bevelled disc of WASHER_RATIO times that radius."""
    outer = WASHER_RATIO * radius
    fill_disc(canvas, centre, outer, 0.45 * tone)
    fill_disc(canvas, centre, 0.93 * outer, 0.9 * tone)
    draw_arc(canvas, centre, 0.88 * outer, LIGHT_ANGLE, 0.08 * radius, 1.35 * tone)


def draw_bolt_head(canvas: Grey, centre: Points, radius: float, angle: float, tone: float) -> None:
    """Draw a hexagon head of corner radius `radius`, turned by `angle` (radians), its flanks lit."""
    corners = centre + radius * unit_vectors(angle + np.arange(7) * np.pi / 3)
    for index in range(6):
        lit = np.cos(angle + (index + 0.5) * np.pi / 3 - LIGHT_ANGLE)
        fill_polygon(canvas, np.stack([centre, corners[index], corners[index + 1]]), tone * (0.78 + 0.42 * lit))
    fill_disc(canvas, centre, 0.72 * radius, 0.7 * tone)
    fill_disc(canvas, centre, 0.66 * radius, 1.12 * tone)
    draw_arc(canvas, centre, 0.55 * radius, LIGHT_ANGLE, 0.12 * radius, 1.4 * tone)


def draw_tube(canvas: Grey, points: Points, width: float, tone: float, gloss: float) -> None:
    """Draw a round tube along `points` [N, 2]: dark flanks, and a highlight of `gloss` times its tone."""
    light = unit_vectors(np.array([LIGHT_ANGLE]))[0]
    for step in np.linspace(0.0, 1.0, 7):
        shade = 0.4 + 0.75 * np.sqrt(step) + (gloss - 1.15) * max(0.0, step - 0.6) / 0.4
        offset = 0.22 * width * step * light
        draw_line(canvas, points + offset, width * (1 - 0.88 * step), tone * shade)


def unit_vectors(angles: Points) -> Points:
    """Return the unit vectors [N, 2] of `angles` [N] (radians, y down)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def normals(points: Points) -> Points:
    """Return the unit normals [N, 2] of the polyline `points` [N, 2]."""
    tangent = np.gradient(points, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def smooth_noise(rng: np.random.Generator, side: int, rows: int, columns: int) -> Field:
    """Return a smooth random field [side, side] of about -1..1 with `rows` x `columns` independent cells."""
    cells = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(cells, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def darken(canvas: Grey, shade: Grey, strength: float, blur: float) -> None:
    """Darken `canvas` in place by `strength` 0..1 where `shade` [H, W] is 255, edges `blur` pixels soft."""
    soft = cv2.GaussianBlur(shade, (0, 0), max(blur, 0.3))
    canvas[:] = (canvas * (1 - strength / 255 * soft.astype(np.float32))).astype(np.uint8)


def clip_tone(tone: float) -> int:
    """Return `tone` as an integer within 0..255."""
    return int(min(255, max(0, tone)))
