"""Samples with masks of every difficult form, their export, and the way back through our own importer."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.options import DEFAULT
from anomaly_gan.formats.reading.readers import reader
from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.formats.writing.export import Counts, export_samples
from anomaly_gan.samples.sample import Sample, encode_png
from infra.settings import Settings
from infra.storage.sources import FsspecTree
from tests.support.sources import gray

HEIGHT, WIDTH = 48, 64

Mask = NDArray[np.uint8]


def blank() -> Mask:
    return np.zeros((HEIGHT, WIDTH), np.uint8)


def crack(width_px: int) -> Mask:
    mask = blank()
    corners = np.array([(3, 40), (14, 21), (17, 23), (30, 5), (41, 30), (62, 33)], np.int32)
    cv2.polylines(mask, [corners], False, 1, width_px)
    return mask


def disc(radius_px: int) -> Mask:
    mask = blank()
    cv2.circle(mask, (30, 22), radius_px, 1, -1)
    return mask


def ring() -> Mask:
    mask = disc(20)
    cv2.circle(mask, (30, 22), 16, 0, -1)
    return mask


def sieve() -> Mask:
    """Holes behind holes, two of them one pixel apart, one with an island in it."""
    mask = disc(21)
    mask[20:23, 14:17] = mask[20:23, 18:21] = mask[10:12, 30:34] = mask[24:36, 26:40] = 0
    mask[28:30, 30:32] = 1
    return mask


def pixels(*places: tuple[int, int]) -> Mask:
    """Places are (row, column)."""
    mask = blank()
    for place in places:
        mask[place] = 1
    return mask


SHAPES = {
    "crack of 1 px": crack(1),
    "crack of 2 px": crack(2),
    "crack of 4 px": crack(4),
    "disc of 1 px": disc(1),
    "disc of 5 px": disc(5),
    "disc of 20 px": disc(20),
    "ring": ring(),
    "sieve": sieve(),
    "one pixel": pixels((5, 7)),
    "two pixels": pixels((5, 7), (5, 8)),
    "two pixels over a corner": pixels((5, 7), (6, 8)),
    "corners of the picture": pixels((0, 0), (0, WIDTH - 1), (HEIGHT - 1, 0), (HEIGHT - 1, WIDTH - 1)),
    "whole picture": np.ones((HEIGHT, WIDTH), np.uint8),
}


def sample(key: str = "gen-00000000", **masks: Mask) -> Sample:
    return Sample(key, gray(HEIGHT, WIDTH), masks)


def samples() -> list[Sample]:
    """Each of SHAPES as a crack; then a grey picture of two classes, and one in colour with annotated instances."""
    found = [sample(f"gen-{number:08d}", crack=mask) for number, mask in enumerate(SHAPES.values())]
    numbers = np.zeros((HEIGHT, WIDTH), np.uint16)
    numbers[4:9, 5:20], numbers[4:9, 20:30], numbers[20:30, 40:50] = 1, 2, 2
    color = np.stack([gray(HEIGHT, WIDTH, seed) for seed in range(3)], axis=2)
    return [
        *found,
        sample("two-classes", hole=disc(5), crack=crack(2)),
        Sample("annotated", color, {"hole": (numbers > 0).astype(np.uint8)}, {"hole": numbers}),
    ]


def write(folder: Path, fmt: str, written: Sequence[Sample]) -> Counts:
    return export_samples(((one, encode_png(one.image)) for one in written), fmt, folder)


def read_back(folder: Path, fmt: str) -> dict[str, Picture]:
    """Key -> what the importer makes of it."""
    tree = FsspecTree(str(folder), Settings())
    return {Path(item.path).stem: item.load() for item in reader(fmt)(tree, DEFAULT)}
