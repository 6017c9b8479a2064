"""Rendered samples of normal and anomalous scenes, and their MVTec-AD folder layout."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.render.anomalies import DRAWERS, composite, print_radius, whole_bolts
from anomaly_gan.render.scene import POSITIONS, SUPERSAMPLING, Scene, render_scene
from infra.errors import UsageError

CLASSES = ("cloth_strip", "paper_scrap", "screw_a", "screw_b")
MIN_SIZE = 64
_NORMAL = "good"
_MISSING_SCREW = "screw_a"
_STREAMS = {None: 0} | {name: number for number, name in enumerate(CLASSES, start=1)}
_ORDER_STREAM = 101


@dataclass(frozen=True)
class RenderedSample:
    """One picture: `image` uint8 [H, W] in 0..255; `mask` uint8 [H, W] in {0, 255}, or None for a normal one.

    `group` names the camera position; `class_name` is None for a normal picture. `screws` of a normal picture are
    the boxes (left, top, width, height) in px of what a missing screw would leave bare.
    """

    key: str
    group: str
    class_name: str | None
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8] | None
    screws: tuple[tuple[float, float, float, float], ...] = ()


def render_samples(
    *, normal: int, per_class: int, classes: Sequence[str] = CLASSES, size: int = 256, seed: int = 0
) -> Iterator[RenderedSample]:
    """Render `normal` normal pictures, then `per_class` of each of `classes`, each `size` x `size` pixels.

    The same seed, class and index give the same sample whatever the counts are. Raises UsageError at the call
    for a class outside CLASSES or named twice, a negative count or seed, or a size below MIN_SIZE.
    """
    _refuse_bad_request(normal, per_class, classes, size, seed)
    counts: list[tuple[str | None, int]] = [(None, normal), *((name, per_class) for name in classes)]
    return (
        _render_sample(class_name, index, size=size, seed=seed)
        for class_name, count in counts
        for index in range(count)
    )


def sample_scene(class_name: str | None, index: int, *, size: int = 256, seed: int = 0) -> Scene:
    """Return the scene, still without its anomaly, of the sample that render_samples gives for this index."""
    return _start_sample(class_name, index, size=size, seed=seed)[1]


def write_mvtec(samples: Iterable[RenderedSample], root: Path) -> int:
    """Write `samples` as an MVTec-AD folder and return their number.

    The layout is train/good/KEY.png, test/CLASS/KEY.png, ground_truth/CLASS/KEY_mask.png, groups.csv with the
    columns path (relative to `root`), class and group, and anchors.csv with the screws of the normal pictures, where
    missing ones can be put. Raises UsageError if `root` exists and is not an empty folder.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root}: is not an empty folder, choose a new or an empty folder for the rendered data set")
    groups: list[tuple[str, ...]] = [("path", "class", "group")]
    anchors: list[tuple[object, ...]] = [("image", "class", "left", "top", "width", "height")]
    for sample in samples:
        path = _write_sample(sample, root).as_posix()
        groups.append((path, sample.class_name or _NORMAL, sample.group))
        anchors += [(path, _MISSING_SCREW, *(f"{value:.1f}" for value in box)) for box in sample.screws]
    root.mkdir(parents=True, exist_ok=True)
    _write_csv(root / "groups.csv", groups)
    _write_csv(root / "anchors.csv", anchors)
    return len(groups) - 1


def _write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _refuse_bad_request(normal: int, per_class: int, classes: Sequence[str], size: int, seed: int) -> None:
    unknown = [name for name in classes if name not in CLASSES]
    if unknown:
        raise UsageError(f"classes: {unknown[0]!r} cannot be rendered, choose from {', '.join(CLASSES)}")
    if len(set(classes)) < len(classes):
        raise UsageError(f"classes: {', '.join(classes)} repeats a class, name each class once")
    for name, value in (("normal", normal), ("per_class", per_class), ("seed", seed)):
        if value < 0:
            raise UsageError(f"{name}: {value} is negative, give 0 or more")
    if size < MIN_SIZE:
        raise UsageError(f"size: {size} px is too small to show the anomalies, give {MIN_SIZE} or more")


def _render_sample(class_name: str | None, index: int, *, size: int, seed: int) -> RenderedSample:
    position, scene, rng = _start_sample(class_name, index, size=size, seed=seed)
    key = f"{class_name or _NORMAL}_{index:05d}"
    group = f"position_{position:02d}"
    if class_name is None:
        return RenderedSample(key, group, None, scene.photograph(), None, _screw_boxes(scene))
    image, mask = composite(scene, DRAWERS[class_name](scene, rng))
    return RenderedSample(key, group, class_name, image, mask)


def _screw_boxes(scene: Scene) -> tuple[tuple[float, float, float, float], ...]:
    boxes = []
    for bolt in whole_bolts(scene):
        left, top = (bolt.centre - print_radius(bolt)) / SUPERSAMPLING
        side = 2 * print_radius(bolt) / SUPERSAMPLING
        boxes.append((float(left), float(top), side, side))
    return tuple(boxes)


def _start_sample(
    class_name: str | None, index: int, *, size: int, seed: int
) -> tuple[int, Scene, np.random.Generator]:
    """Return the camera position, the scene, and the generator that goes on to draw the anomaly."""
    stream = _STREAMS[class_name]
    order = np.random.default_rng([seed, _ORDER_STREAM, stream]).permutation(POSITIONS)
    position = int(order[index % POSITIONS])
    rng = np.random.default_rng([seed, stream, index])
    return position, render_scene(position=position, size=size, seed=seed, rng=rng), rng


def _write_sample(sample: RenderedSample, root: Path) -> Path:
    """Write the picture and any mask; return the picture's path relative to `root`."""
    if sample.class_name is None:
        path = Path("train", _NORMAL, f"{sample.key}.png")
    else:
        path = Path("test", sample.class_name, f"{sample.key}.png")
    _write_png(root / path, sample.image)
    if sample.class_name is not None and sample.mask is not None:
        _write_png(root / "ground_truth" / sample.class_name / f"{sample.key}_mask.png", sample.mask)
    return path


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
