"""The four anomaly classes, each drawn into a scene together with the exact mask of what it changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anomaly_gan.render.scene import Bolt, Scene, shrink
from anomaly_gan.render.shapes import (
    LIGHT_ANGLE,
    WASHER_RATIO,
    Field,
    Grey,
    Points,
    draw_arc,
    draw_bolt_head,
    draw_line,
    draw_washer,
    fill_convex,
    fill_disc,
    fill_polygon,
    fixed_point,
    normals,
    unit_vectors,
)

_LEAST_COVER = 64
_LOOSE_REACH = 3.0
_PRINT_RATIO = 1.45


@dataclass(frozen=True)
class Overlay:
    """A scene's canvas with an anomaly drawn on it, and its `cover` (255 = covered): both uint8 [S, S]."""

    canvas: Grey
    cover: Grey


def composite(scene: Scene, overlay: Overlay) -> tuple[Grey, Grey]:
    """Return the picture of `scene` with the anomaly and its mask, both uint8 [size, size].

    The mask is 255 exactly where the picture differs from `scene.photograph()` and 0 elsewhere: pixels
    covered too little keep the normal picture, and a covered pixel that happens to keep its grey value moves
    by one level.
    """
    normal = scene.photograph()
    drawn = scene.photograph(overlay.canvas)
    covered = shrink(overlay.cover, scene.size) >= _LEAST_COVER
    moved = np.where(normal == 255, normal - 1, normal + 1).astype(np.uint8)
    image = np.where(covered, np.where(drawn == normal, moved, drawn), normal)
    return image.astype(np.uint8), np.where(covered, 255, 0).astype(np.uint8)


def draw_cloth_strip(scene: Scene, rng: np.random.Generator) -> Overlay:
    """Draw a woven band with folds and frayed ends, caught behind a cable of `scene`."""
    overlay = _copy(scene)
    side = overlay.canvas.shape[0]
    length = rng.uniform(0.34, 0.42) * side
    width = rng.uniform(0.06, 0.07) * side
    spine = _plan_spine(scene, rng, length)
    tone = rng.uniform(185, 215)
    _draw_frays(overlay, spine, width, tone, rng)
    _draw_weave(overlay, spine, width, tone, rng)
    return _behind_cables(scene, overlay)


def draw_paper_scrap(scene: Scene, rng: np.random.Generator) -> Overlay:
    """Draw a light crumpled scrap of paper, sometimes with printed lines, anywhere on `scene`."""
    overlay = _copy(scene)
    side = overlay.canvas.shape[0]
    centre = rng.uniform(0.18, 0.82, 2) * side
    radius = rng.uniform(0.08, 0.105) * side
    fill_polygon(overlay.cover, _plan_scrap(rng, centre, radius), 255)
    shading = _crumple(rng, centre, radius, side)
    if rng.random() < 0.5:
        shading = shading - _print_lines(rng, centre, radius, side)
    alpha = overlay.cover.astype(np.float32) / 255
    blend = overlay.canvas * (1 - alpha) + np.clip(shading, 0, 255) * alpha
    return Overlay(blend.astype(np.uint8), overlay.cover)


def whole_bolts(scene: Scene) -> list[Bolt]:
    """The bolts whose washer print lies within the frame."""
    side = scene.canvas.shape[0]
    return [
        bolt
        for bolt in scene.bolts
        if np.all(bolt.centre > print_radius(bolt)) and np.all(bolt.centre < side - print_radius(bolt))
    ]


def print_radius(bolt: Bolt) -> float:
    """Radius of the clean print that a bolt leaves where it is missing, in canvas pixels."""
    return _PRINT_RATIO * bolt.radius


def draw_missing_bolt(scene: Scene, rng: np.random.Generator) -> Overlay:
    """Replace a bolt of `scene` by its dark threaded hole within the clean print of the washer."""
    overlay = _copy(scene)
    bolt = _pick_bolt(scene, rng)
    _draw_print(overlay, bolt)
    hole = rng.uniform(0.6, 0.68) * bolt.radius
    fill_disc(overlay.canvas, bolt.centre, 1.2 * hole, 1.65 * bolt.tone)
    fill_disc(overlay.canvas, bolt.centre, hole, 14)
    lower_right = LIGHT_ANGLE + np.pi
    for share in (0.85, 0.6, 0.36):
        draw_arc(overlay.canvas, bolt.centre, share * hole, lower_right, 0.09 * hole, 80)
    return overlay


def draw_loose_bolt(scene: Scene, rng: np.random.Generator) -> Overlay:
    """Unscrew a bolt of `scene`: its head is turned and stands off to the side, and its thread is bared."""
    overlay = _copy(scene)
    bolt = _pick_bolt(scene, rng)
    axis = _pick_axis(scene, bolt, rng)
    head = bolt.centre + rng.uniform(1.75, 1.9) * bolt.radius * axis
    turned = bolt.angle + rng.uniform(0.25, 0.8)
    _draw_print(overlay, bolt)
    draw_washer(overlay.canvas, bolt.centre + 0.1 * bolt.radius * axis, 0.85 * bolt.radius, bolt.tone)
    fill_disc(overlay.canvas, bolt.centre, 0.62 * bolt.radius, 18)
    _draw_thread(overlay, bolt, head)
    for share in np.linspace(0.28, 0.05, 5):
        _draw_flank(overlay, head - share * bolt.radius * axis, 1.05 * bolt.radius, turned, 0.38 * bolt.tone)
    draw_bolt_head(overlay.canvas, head, 1.05 * bolt.radius, turned, 1.1 * bolt.tone)
    return overlay


DRAWERS: dict[str, Callable[[Scene, np.random.Generator], Overlay]] = {
    "cloth_strip": draw_cloth_strip,
    "paper_scrap": draw_paper_scrap,
    "screw_a": draw_missing_bolt,
    "screw_b": draw_loose_bolt,
}


def _copy(scene: Scene) -> Overlay:
    return Overlay(scene.canvas.copy(), np.zeros_like(scene.canvas))


def _behind_cables(scene: Scene, overlay: Overlay) -> Overlay:
    hidden = scene.cable_cover.astype(np.float32) / 255
    canvas = overlay.canvas * (1 - hidden) + scene.canvas * hidden
    return Overlay(canvas.astype(np.uint8), (overlay.cover * (1 - hidden)).astype(np.uint8))


def _plan_spine(scene: Scene, rng: np.random.Generator, length: float) -> Points:
    """Return the centre line [N, 2] of a band that crosses a cable near one end and lies within the frame."""
    side = scene.canvas.shape[0]
    spines = [_bend_spine(scene, rng, length) for _ in range(12)]
    outside = [float(np.mean((spine < 0.05 * side) | (spine > 0.95 * side))) for spine in spines]
    return spines[int(np.argmin(outside))]


def _bend_spine(scene: Scene, rng: np.random.Generator, length: float) -> Points:
    cable = scene.cables[int(rng.integers(len(scene.cables)))]
    index = int(rng.integers(len(cable) // 4, 3 * len(cable) // 4))
    across = normals(cable)[index] * rng.choice([-1, 1])
    heading = np.arctan2(across[1], across[0]) + rng.uniform(-0.5, 0.5)
    t = np.linspace(0, 1, 140)
    bend = rng.uniform(0.6, 1.1) * np.sin(2 * np.pi * (rng.uniform(0.7, 1.2) * t + rng.random()))
    steps = unit_vectors(heading + bend - bend[35]) * length / len(t)
    spine = np.cumsum(steps, axis=0)
    return np.asarray(cable[index] + spine - spine[int(rng.integers(22, 40))], dtype=np.float64)


def _draw_weave(overlay: Overlay, spine: Points, width: float, tone: float, rng: np.random.Generator) -> None:
    """Draw the band around `spine` as a mesh, shaded by its folds and its stripes."""
    side = overlay.canvas.shape[0]
    t = np.linspace(0, 1, len(spine))
    folds = np.cos(2 * np.pi * (rng.uniform(2.0, 3.0) * t + rng.random()))
    across = np.linspace(-1, 1, 12)
    reach = (0.5 * width * (0.86 + 0.14 * folds))[:, None] * normals(spine)
    mesh = fixed_point(spine[:, None] + across[None, :, None] * reach[:, None])
    tones = _weave_tones(spine, across, tone, side) * (0.86 + 0.22 * folds)[:, None]
    for row in range(len(spine) - 1):
        for column in range(len(across) - 1):
            quad = mesh[[row, row, row + 1, row + 1], [column, column + 1, column + 1, column]]
            fill_convex(overlay.canvas, quad, float(tones[row, column]))
        fill_convex(overlay.cover, mesh[[row, row, row + 1, row + 1], [0, -1, -1, 0]], 255)


def _weave_tones(spine: Points, across: Points, tone: float, side: int) -> Points:
    """Return the tones [N, M] of a woven band: two dark stripes along it, and ribs across."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(spine, axis=0), axis=1))])
    ribs = np.cos(2 * np.pi * along / (0.021 * side)) > 0
    middle = np.abs(across + 1 / (len(across) - 1))
    stripes = (middle > 0.3) & (middle < 0.7)
    return np.asarray(tone + 18 - 62 * stripes[None, :] - 24 * ribs[:, None], dtype=np.float64)


def _draw_frays(overlay: Overlay, spine: Points, width: float, tone: float, rng: np.random.Generator) -> None:
    side = overlay.canvas.shape[0]
    sideways = normals(spine)
    for end, inner in ((0, 6), (-1, -7)):
        outward = spine[end] - spine[inner]
        outward = outward / np.linalg.norm(outward)
        for offset in np.linspace(-0.44, 0.44, 11):
            root = spine[inner] + offset * width * sideways[end]
            reach = rng.uniform(0.022, 0.045) * side * outward + rng.normal(0, 0.004, 2) * side
            for canvas, shade in ((overlay.canvas, tone * rng.uniform(0.85, 1.15)), (overlay.cover, 255.0)):
                draw_line(canvas, np.stack([root, root + reach]), 0.0045 * side, shade)


def _plan_scrap(rng: np.random.Generator, centre: Points, radius: float) -> Points:
    """Return the torn outline [N, 2] of a scrap: a few far-apart corners joined by slightly ragged edges."""
    count = int(rng.integers(4, 7))
    angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count
    corners = (radius * rng.uniform(0.75, 1.25, count))[:, None] * unit_vectors(angles)
    short_axis = unit_vectors(rng.uniform(0, np.pi, 1))[0]
    corners = centre + corners - 0.35 * np.outer(corners @ short_axis, short_axis)
    position = np.arange(0, count, 0.125)
    closed = np.vstack([corners, corners[:1]])
    outline = np.stack([np.interp(position, np.arange(count + 1), closed[:, axis]) for axis in (0, 1)], axis=1)
    return np.asarray(outline + rng.normal(0, 0.018 * radius, outline.shape), dtype=np.float64)


def _crumple(rng: np.random.Generator, centre: Points, radius: float, side: int) -> Field:
    """Return the tones [side, side] of crumpled paper: flat facets between straight creases."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    facets = np.zeros((side, side), dtype=np.float32)
    creases = np.zeros((side, side), dtype=np.float32)
    for _ in range(6):
        angle = rng.uniform(0, np.pi)
        offset = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / radius
        offset -= rng.uniform(-0.6, 0.6)
        facets += np.float32(rng.uniform(9, 15) * rng.choice([-1, 1])) * np.sign(offset)
        creases = np.maximum(creases, 30 * (np.abs(offset) < 0.028))
    middle = np.median(facets[np.hypot(x - centre[0], y - centre[1]) < 0.7 * radius])
    return np.asarray(np.clip(226 + facets - middle, 186, 254) - creases, dtype=np.float32)


def _print_lines(rng: np.random.Generator, centre: Points, radius: float, side: int) -> Field:
    """Return how much printed lines darken the paper, float32 [side, side]."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    angle = rng.uniform(-0.6, 0.6)
    along = ((x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)) / radius
    down = ((y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)) / radius
    words = np.sin(9 * along + 5 * np.floor(down / 0.24)) > -0.7
    lines = (np.mod(down, 0.24) < 0.085) & (np.abs(down) < 0.48) & (np.abs(along) < 0.55) & words
    return np.asarray(lines * np.float32(75), dtype=np.float32)


def _pick_bolt(scene: Scene, rng: np.random.Generator) -> Bolt:
    inside = whole_bolts(scene)
    return inside[int(rng.integers(len(inside)))]


def _pick_axis(scene: Scene, bolt: Bolt, rng: np.random.Generator) -> Points:
    """Return the direction [2] in which a loosened head stands off, such that it stays within the frame."""
    side = scene.canvas.shape[0]
    axes = unit_vectors(rng.uniform(0, 2 * np.pi) + np.arange(16) * np.pi / 8)
    heads = bolt.centre + _LOOSE_REACH * bolt.radius * axes
    inside = np.flatnonzero(np.all((heads > 0) & (heads < side), axis=1))
    return np.asarray(axes[inside[0]], dtype=np.float64)


def _draw_print(overlay: Overlay, bolt: Bolt) -> None:
    """Draw the light print that a washer leaves, within a rim of dirt."""
    outer = WASHER_RATIO * bolt.radius
    fill_disc(overlay.cover, bolt.centre, print_radius(bolt), 255)
    fill_disc(overlay.canvas, bolt.centre, print_radius(bolt), 0.5 * bolt.tone)
    fill_disc(overlay.canvas, bolt.centre, 0.96 * outer, 1.12 * bolt.tone)


def _draw_thread(overlay: Overlay, bolt: Bolt, head: Points) -> None:
    """Draw the bared shank from the bolt's hole to its head, ridged across."""
    axis = (head - bolt.centre) / np.linalg.norm(head - bolt.centre)
    sideways = 0.45 * bolt.radius * np.array([-axis[1], axis[0]])
    ends = np.stack([bolt.centre, head])
    draw_line(overlay.canvas, ends, 0.95 * bolt.radius, 1.4 * bolt.tone)
    for share in np.arange(-0.12, 1.2, 0.33):
        ridge = bolt.centre + share * bolt.radius * axis
        draw_line(overlay.canvas, np.stack([ridge - sideways, ridge + sideways]), 0.13 * bolt.radius, 40)


def _draw_flank(overlay: Overlay, centre: Points, radius: float, angle: float, tone: float) -> None:
    corners = centre + radius * unit_vectors(angle + np.arange(6) * np.pi / 3)
    fill_polygon(overlay.canvas, corners, tone)
    fill_polygon(overlay.cover, corners, 255)
