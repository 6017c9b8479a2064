"""Grey scenes of the underside of a train as an inspection camera sees them.

A camera position fixes what there is to see: bands of steel (bolted flanges, ribbed and plain panels,
grilles, recesses), bolts and cables. A scene is one picture from a position: slightly shifted, with its own
dirt, exposure and noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from anomaly_gan.render.shapes import (
    WASHER_RATIO,
    Field,
    Grey,
    Points,
    darken,
    draw_bolt_head,
    draw_line,
    draw_tube,
    draw_washer,
    fill_box,
    fill_disc,
    normals,
    smooth_noise,
)

SUPERSAMPLING = 2
POSITIONS = 16
_POSITION_STREAM = 100
_MARGIN = 0.08
_EXTENT = 1 + 2 * _MARGIN
_FLANGE_HEIGHT = 0.21


@dataclass(frozen=True)
class Bolt:
    """A hexagon bolt: centre [2] and corner radius of its head in canvas pixels, angle in radians, tone."""

    centre: Points
    radius: float
    angle: float
    tone: float


@dataclass(frozen=True)
class Scene:
    """One picture before its exposure.

    `canvas` is the lit surface, uint8 [S, S] with S = SUPERSAMPLING * size; `cable_cover` (same shape, 255 =
    cable) says where cables hide what lies behind them; `bolts` and `cables` (polylines [N, 2]) are in canvas
    pixels. `gain` and `noise`, float32 [size, size], are the light and the sensor noise of this picture.
    """

    size: int
    canvas: Grey
    cable_cover: Grey
    bolts: tuple[Bolt, ...]
    cables: tuple[Points, ...]
    gain: Field
    noise: Field

    def photograph(self, canvas: Grey | None = None) -> Grey:
        """Return the picture, uint8 [size, size], of `canvas` (default: the scene's) in this exposure."""
        surface = shrink(self.canvas if canvas is None else canvas, self.size)
        return np.clip(np.round(surface * self.gain + self.noise), 0, 255).astype(np.uint8)


def render_scene(*, position: int, size: int, seed: int, rng: np.random.Generator) -> Scene:
    """Return one scene at a camera position.

    `position` and `seed` fix the layout, `rng` the shift, dirt, exposure and noise; the scene's pictures have
    `size` x `size` pixels.
    """
    layout = _draw_position(seed, position, size)
    side = SUPERSAMPLING * size
    view = _draw_view(rng, side)
    canvas = _warp(layout.canvas, view, side)
    _draw_dirt(canvas, rng)
    _draw_scratches(canvas, rng)
    return Scene(
        size=size,
        canvas=canvas,
        cable_cover=_warp(layout.cable_cover, view, side),
        bolts=tuple(_view_bolt(bolt, view) for bolt in layout.bolts),
        cables=tuple(_view_points(cable, view) for cable in layout.cables),
        gain=_draw_gain(rng, size),
        noise=rng.standard_normal((size, size), dtype=np.float32) * np.float32(rng.uniform(2.0, 4.5)),
    )


def shrink(canvas: Grey, size: int) -> Field:
    """Return the supersampled `canvas` [S, S] at `size` pixels: float32 [size, size] in 0..255."""
    floats = canvas.astype(np.float32)
    return np.asarray(cv2.resize(floats, (size, size), interpolation=cv2.INTER_AREA), dtype=np.float32)


@dataclass(frozen=True)
class _Layout:
    canvas: Grey
    cable_cover: Grey
    bolts: tuple[Bolt, ...]
    cables: tuple[Points, ...]


@dataclass
class _Painter:
    """The canvas of a position under construction; lengths are fractions of the frame's width."""

    canvas: Grey
    unit: float
    rng: np.random.Generator

    def pixels(self, points: Points) -> Points:
        return (np.asarray(points, dtype=np.float64) + _MARGIN) * self.unit

    def box(self, left: float, top: float, right: float, bottom: float, tone: float) -> None:
        (x0, y0), (x1, y1) = self.pixels(np.array([(left, top), (right, bottom)]))
        fill_box(self.canvas, x0, y0, x1, y1, tone)

    def row(self, top: float, bottom: float, tone: float) -> None:
        self.box(-_MARGIN, top, 1 + _MARGIN, bottom, tone)

    def shade(self, left: float, top: float, right: float, bottom: float, strength: float, blur: float) -> None:
        shadow = _Painter(np.zeros_like(self.canvas), self.unit, self.rng)
        shadow.box(left, top, right, bottom, 255)
        darken(self.canvas, shadow.canvas, strength, blur * self.unit)


@dataclass(frozen=True)
class _Band:
    kind: str
    top: float
    bottom: float
    tone: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


@lru_cache(maxsize=POSITIONS)
def _draw_position(seed: int, position: int, size: int) -> _Layout:
    rng = np.random.default_rng([seed, _POSITION_STREAM, position])
    unit = float(SUPERSAMPLING * size)
    side = round(_EXTENT * unit)
    painter = _Painter(np.zeros((side, side), dtype=np.uint8), unit, rng)
    bands = _plan_bands(rng)
    for band in bands:
        painter.row(band.top, band.bottom, band.tone)
    _brush_steel(painter)
    for band in bands:
        _BAND_DETAILS[band.kind](painter, band)
    rows = _plan_bolt_rows(rng, [band for band in bands if band.kind == "flange"])
    bolts = _draw_bolts(painter, rows)
    cables, cover = _draw_cables(painter, bands, rows)
    return _turn(_Layout(painter.canvas, cover, bolts, cables), bool(rng.integers(2)))


def _plan_bands(rng: np.random.Generator) -> list[_Band]:
    fillers = [str(kind) for kind in rng.permutation(["plain", "ribs", "grille", "recess"])]
    kinds = [fillers[0], "flange", fillers[1]]
    kinds += ["flange", fillers[2]] if rng.random() < 0.55 else [fillers[2]]
    weights = rng.uniform(0.8, 1.2, len(fillers) - 1)
    heights = weights / weights.sum() * (_EXTENT - _FLANGE_HEIGHT * kinds.count("flange"))
    filler_heights = iter(heights.tolist())
    base = rng.uniform(80, 105)
    bands: list[_Band] = []
    top = -_MARGIN
    for kind in kinds:
        height = _FLANGE_HEIGHT if kind == "flange" else next(filler_heights)
        tone = base * (1.28 if kind == "flange" else rng.uniform(0.85, 1.1))
        bands.append(_Band(kind, top, top + height, 0.5 * tone if kind == "recess" else tone))
        top += height
    return bands


def _brush_steel(painter: _Painter) -> None:
    side = painter.canvas.shape[0]
    rng = painter.rng
    texture = 0.07 * smooth_noise(rng, side, 6, 6) + 0.05 * smooth_noise(rng, side, 90, 3)
    texture += 0.03 * smooth_noise(rng, side, 60, 60)
    painter.canvas[:] = np.clip(painter.canvas * (1 + texture), 0, 255).astype(np.uint8)


def _detail_flange(painter: _Painter, band: _Band) -> None:
    painter.shade(-_MARGIN, band.bottom, 1 + _MARGIN, band.bottom + 0.03, 0.6, 0.012)
    painter.row(band.top, band.top + 0.009, 1.45 * band.tone)
    painter.row(band.bottom - 0.012, band.bottom, 0.55 * band.tone)


def _detail_plain(painter: _Painter, band: _Band) -> None:
    pitch = painter.rng.uniform(0.35, 0.5)
    for x in np.arange(painter.rng.uniform(0, pitch), 1 + _MARGIN, pitch):
        painter.box(x, band.top, x + 0.007, band.bottom, 0.35 * band.tone)
        painter.box(x + 0.007, band.top, x + 0.013, band.bottom, 1.35 * band.tone)
        for y in np.arange(band.top + 0.04, band.bottom - 0.02, 0.075):
            _draw_rivet(painter, np.array([x + 0.035, y]), band.tone)


def _draw_rivet(painter: _Painter, centre: Points, tone: float) -> None:
    middle = painter.pixels(centre)
    fill_disc(painter.canvas, middle, 0.011 * painter.unit, 0.5 * tone)
    fill_disc(painter.canvas, middle - 0.003 * painter.unit, 0.008 * painter.unit, 1.4 * tone)


def _detail_ribs(painter: _Painter, band: _Band) -> None:
    pitch = painter.rng.uniform(0.09, 0.13)
    for x in np.arange(painter.rng.uniform(-_MARGIN, 0), 1 + _MARGIN, pitch):
        painter.box(x, band.top, x + 0.01, band.bottom, 1.4 * band.tone)
        painter.box(x + 0.01, band.top, x + 0.038, band.bottom, 1.12 * band.tone)
        painter.box(x + 0.038, band.top, x + 0.054, band.bottom, 0.55 * band.tone)


def _detail_grille(painter: _Painter, band: _Band) -> None:
    pitch = painter.rng.uniform(0.05, 0.06)
    height = band.bottom - band.top
    top, bottom = band.top + 0.16 * height, band.bottom - 0.16 * height
    for x in np.arange(painter.rng.uniform(-_MARGIN, 0), 1 + _MARGIN, pitch):
        painter.box(x, top, x + 0.027, bottom, 0.25 * band.tone)
        painter.box(x + 0.027, top, x + 0.034, bottom, 1.35 * band.tone)
    painter.row(top - 0.008, top, 0.6 * band.tone)
    painter.row(bottom, bottom + 0.008, 1.3 * band.tone)


def _detail_recess(painter: _Painter, band: _Band) -> None:
    painter.shade(-_MARGIN, band.top, 1 + _MARGIN, band.top + 0.05, 0.65, 0.02)
    painter.row(band.bottom - 0.01, band.bottom, 2.2 * band.tone)


_BAND_DETAILS: dict[str, Callable[[_Painter, _Band], None]] = {
    "flange": _detail_flange,
    "plain": _detail_plain,
    "ribs": _detail_ribs,
    "grille": _detail_grille,
    "recess": _detail_recess,
}


def _plan_bolt_rows(rng: np.random.Generator, flanges: list[_Band]) -> list[Points]:
    pitch = rng.uniform(0.25, 0.29)
    phases = rng.uniform(0.0, pitch) + rng.uniform(-0.03, 0.03, len(flanges))
    rows = []
    for band, phase in zip(flanges, phases, strict=True):
        x = np.arange(phase - pitch, 1 + 1.5 * pitch, pitch)
        rows.append(np.stack([x, np.full_like(x, band.middle)], axis=1))
    return rows


def _draw_bolts(painter: _Painter, rows: list[Points]) -> tuple[Bolt, ...]:
    rng = painter.rng
    radius = rng.uniform(0.054, 0.06) * painter.unit
    tone = rng.uniform(125, 150)
    bolts = tuple(
        Bolt(painter.pixels(centre), radius, rng.uniform(0, np.pi / 3), tone * rng.uniform(0.93, 1.07))
        for row in rows
        for centre in row
    )
    shadow = np.zeros_like(painter.canvas)
    for bolt in bolts:
        fill_disc(shadow, bolt.centre + 0.08 * radius, WASHER_RATIO * radius, 255)
    darken(painter.canvas, shadow, 0.6, 0.04 * radius)
    for bolt in bolts:
        draw_washer(painter.canvas, bolt.centre, radius, bolt.tone)
        draw_bolt_head(painter.canvas, bolt.centre, radius, bolt.angle, bolt.tone)
    return bolts


def _draw_cables(painter: _Painter, bands: list[_Band], rows: list[Points]) -> tuple[tuple[Points, ...], Grey]:
    rng = painter.rng
    cover = np.zeros_like(painter.canvas)
    for band in bands:
        if band.kind == "recess" or (band.kind == "plain" and rng.random() < 0.5):
            _draw_pipe(painter, band)
    gap = int(rng.integers(1, 3))
    cables = [_plan_cable(rng, rows, gap)]
    if rng.random() < 0.4:
        cables.append(_plan_cable(rng, rows, gap + 1))
    pixels = tuple(painter.pixels(cable) for cable in cables)
    for cable in pixels:
        _draw_cable(painter, cover, cable)
    return pixels, cover


def _draw_pipe(painter: _Painter, band: _Band) -> None:
    y = band.middle + painter.rng.uniform(-0.02, 0.02)
    width = painter.rng.uniform(0.05, 0.075)
    painter.shade(-_MARGIN, y, 1 + _MARGIN, y + 0.75 * width, 0.6, 0.012)
    ends = painter.pixels(np.array([(-_MARGIN, y), (1 + _MARGIN, y)]))
    draw_tube(painter.canvas, ends, width * painter.unit, painter.rng.uniform(105, 130), 1.6)
    for x in painter.rng.uniform(0, 1, 2):
        _draw_collar(painter, x, y, 1.2 * width)


def _draw_collar(painter: _Painter, x: float, y: float, width: float) -> None:
    """Draw the clamp around a pipe: strips across it, lit as a round surface is."""
    edges = y + width * np.linspace(-0.5, 0.5, 12)
    painter.box(x - 0.004, edges[0], x + 0.036, edges[-1], 30)
    for index, (top, bottom) in enumerate(pairwise(edges)):
        painter.box(x, top, x + 0.03, bottom, 45 + 110 * np.exp(-((index - 3) ** 2) / 8))


def _plan_cable(rng: np.random.Generator, rows: list[Points], gap: int) -> Points:
    """Return a cable [N, 2] from top to bottom that crosses each bolt row midway between two bolts."""
    crossings = [(row[gap] + row[gap + 1]) / 2 for row in rows]
    first, last = crossings[0][0], crossings[-1][0]
    knots = np.array(
        [
            (first + rng.uniform(-0.14, 0.14), -0.12),
            *crossings,
            (last + rng.uniform(-0.14, 0.14), 1.12),
        ]
    )
    y = np.linspace(-0.12, 1.12, 60)
    segment = np.clip(np.searchsorted(knots[:, 1], y, side="right") - 1, 0, len(knots) - 2)
    start, end = knots[segment], knots[segment + 1]
    t = (y - start[:, 1]) / (end[:, 1] - start[:, 1])
    x = start[:, 0] + (end[:, 0] - start[:, 0]) * t * t * (3 - 2 * t)
    return np.stack([x, y], axis=1)


def _draw_cable(painter: _Painter, cover: Grey, cable: Points) -> None:
    width = painter.rng.uniform(0.036, 0.05) * painter.unit
    tone = painter.rng.uniform(42, 62)
    shadow = np.zeros_like(cover)
    draw_line(shadow, cable + 0.3 * width, width, 255)
    darken(painter.canvas, shadow, 0.55, 0.2 * width)
    draw_tube(painter.canvas, cable, width, tone, 2.4)
    if painter.rng.random() < 0.5:
        _corrugate(painter.canvas, cable, width, tone)
    draw_line(cover, cable, width, 255)


def _corrugate(canvas: Grey, cable: Points, width: float, tone: float) -> None:
    steps = np.linspace(0, len(cable) - 1, 70)
    index = np.arange(len(cable))
    centres = np.stack([np.interp(steps, index, cable[:, axis]) for axis in (0, 1)], axis=1)
    reach = 0.45 * width * normals(centres)
    for low, high in zip(centres - reach, centres + reach, strict=True):
        draw_line(canvas, np.stack([low, high]), 0.12 * width, 0.35 * tone)


def _turn(layout: _Layout, upright: bool) -> _Layout:
    """Swap x and y where `upright`; the light, which comes along the diagonal, stays where it is."""
    if not upright:
        return layout
    bolts = tuple(Bolt(bolt.centre[::-1], bolt.radius, np.pi / 2 - bolt.angle, bolt.tone) for bolt in layout.bolts)
    cables = tuple(cable[:, ::-1] for cable in layout.cables)
    canvas, cover = (np.ascontiguousarray(array.T) for array in (layout.canvas, layout.cable_cover))
    return _Layout(canvas, cover, bolts, cables)


def _draw_view(rng: np.random.Generator, side: int) -> Points:
    """Return the affine map [2, 3] from a position's canvas to the frame: small shift, turn and zoom."""
    turn = np.deg2rad(rng.uniform(-1.2, 1.2))
    zoom = rng.uniform(0.985, 1.02)
    linear = zoom * np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    shift = side / 2 + rng.uniform(-0.025, 0.025, 2) * side - linear @ np.full(2, _EXTENT * side / 2)
    return np.column_stack([linear, shift])


def _warp(canvas: Grey, view: Points, side: int) -> Grey:
    return np.asarray(cv2.warpAffine(canvas, view, (side, side), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def _view_points(points: Points, view: Points) -> Points:
    return np.asarray(points @ view[:, :2].T + view[:, 2], dtype=np.float64)


def _view_bolt(bolt: Bolt, view: Points) -> Bolt:
    turn = float(np.arctan2(view[1, 0], view[0, 0]))
    zoom = float(np.hypot(view[0, 0], view[1, 0]))
    return Bolt(_view_points(bolt.centre, view), bolt.radius * zoom, bolt.angle + turn, bolt.tone)


def _draw_dirt(canvas: Grey, rng: np.random.Generator) -> None:
    """Darken `canvas` by a few ragged stains and by dust."""
    grid = 64
    y, x = np.mgrid[0:grid, 0:grid].astype(np.float32) / grid
    ragged = 0.6 * smooth_noise(rng, grid, 10, 10) + 0.3 * smooth_noise(rng, grid, 24, 24)
    dirt = np.maximum(0.12 * smooth_noise(rng, grid, 7, 7), 0)
    for _ in range(int(rng.integers(2, 5))):
        cx, cy = rng.uniform(0, 1, 2)
        rx, ry = rng.uniform(0.04, 0.14, 2)
        distance = np.hypot((x - cx) / rx, (y - cy) / ry) + ragged
        dirt += rng.uniform(0.15, 0.4) * np.clip((1.0 - distance) * 1.8, 0, 1)
    side = canvas.shape[0]
    full = cv2.resize(np.clip(dirt, 0, 0.6).astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    canvas[:] = (canvas * (1 - np.asarray(full, dtype=np.float32))).astype(np.uint8)


def _draw_scratches(canvas: Grey, rng: np.random.Generator) -> None:
    side = canvas.shape[0]
    for _ in range(int(rng.integers(2, 6))):
        start = rng.uniform(0, side, 2)
        end = start + rng.normal(0, 0.07, 2) * side
        tone = float(canvas[int(start[1]), int(start[0])]) + rng.uniform(15, 45)
        draw_line(canvas, np.stack([start, end]), 0.002 * side, tone)


def _draw_gain(rng: np.random.Generator, size: int) -> Field:
    """Return the light of a picture: its exposure, a gradient across the frame and a vignette."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    slope_x, slope_y = rng.uniform(-0.12, 0.12, 2).astype(np.float32)
    vignette = 1 - np.float32(rng.uniform(0.08, 0.16)) * (x * x + y * y)
    exposure = np.float32(rng.uniform(0.95, 1.22))
    return np.asarray(exposure * (1 + slope_x * x + slope_y * y) * vignette, dtype=np.float32)
