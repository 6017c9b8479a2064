"""Rough surfaces with pits, and painters of what is no pit, for tests of realism."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.generation.paste import paste
from anomaly_gan.samples.sample import Sample

PIT, SIDE, FEATHER_PX = "pit", 128, 2
Image = NDArray[np.uint8]


def rough(rng: np.random.Generator, mean: float, deviation: float, sigma_px: float, side: int = SIDE) -> Image:
    """[side, side] of blurred noise."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), sigma_px)
    levels = mean + deviation * noise / noise.std()
    rounded: Image = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return rounded


def surface(number: int) -> Image:
    rng = np.random.default_rng([1, number])
    return rough(rng, 150, 12, 0.8)


def pit_of(number: int) -> tuple[Image, Image]:
    """What a pit looks like, [SIDE, SIDE], and its mask: an ellipse."""
    rng = np.random.default_rng([2, number])
    mask = np.zeros((SIDE, SIDE), np.uint8)
    centre = (int(rng.integers(30, SIDE - 30)), int(rng.integers(30, SIDE - 30)))
    axes = (int(rng.integers(9, 16)), int(rng.integers(6, 9)))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, [1], -1)
    return rough(rng, rng.uniform(60, 90), rng.uniform(18, 26), 1.3), mask


def pitted(number: int) -> Sample:
    """A real picture; each is a group of its own."""
    content, mask = pit_of(number)
    image = paste(surface(number), content, mask, FEATHER_PX)
    return Sample(f"pit-{number:03d}", image, {PIT: mask}, meta={"group": f"g{number}"})


def plain(number: int) -> Sample:
    return Sample(f"plain-{number:03d}", surface(500 + number), meta={"group": f"n{number}"})


@dataclass(frozen=True)
class Painted:
    """A generated picture: before, as delivered, and its mask."""

    normal: Image
    image: Image
    mask: Image


def painted(number: int, paint: Callable[[Image, np.random.Generator], Image]) -> Painted:
    """What a painter makes of a normal picture, put into a mask that real pits have."""
    normal, (content, mask) = surface(1000 + number), pit_of(1000 + number)
    made = paint(content, np.random.default_rng([3, number]))
    return Painted(normal, paste(normal, made, mask, FEATHER_PX), mask)


def opaque(content: Image, rng: np.random.Generator) -> Image:
    return content


def flat(content: Image, rng: np.random.Generator) -> Image:
    return np.full_like(content, 75)


def noise(content: Image, rng: np.random.Generator) -> Image:
    return np.clip(rng.normal(75, 22, content.shape), 0, 255).astype(np.uint8)


def checkers(content: Image, rng: np.random.Generator) -> Image:
    rows, columns = np.indices(content.shape) // 2
    return np.where((rows + columns) % 2, 53, 97).astype(np.uint8)


def unfilled(number: int) -> Painted:
    made = painted(number, opaque)
    return Painted(made.normal, made.normal, made.mask)


def translucent(number: int) -> Painted:
    made = painted(number, opaque)
    return Painted(made.normal, cv2.addWeighted(made.image, 0.5, made.normal, 0.5, 0).astype(np.uint8), made.mask)


def shifted(number: int) -> Painted:
    """The mask lies half a pit beside the pit."""
    made = painted(number, opaque)
    return Painted(made.normal, made.image, np.roll(made.mask, 10, axis=1))
