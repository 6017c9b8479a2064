"""Pictures that look alike, by a difference hash: it hardly changes when a picture is saved again or lit otherwise.

Of 16 rows of 17 averages it says for every step to the right whether it is brighter (Krawetz, Kind of Like That, 2013).
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 16
BITS = SIDE * SIDE
NEAR_BITS = 8
"""Hashes that differ in no more bits are of pictures that look alike; those of unlike pictures differ in about half."""
FEWEST_STEPS = 24
"""A picture of fewer steps is so plain that its hash says nothing."""
LEAST_STEP = 1
"""Levels; smaller steps are noise."""
CHUNK = 64

Hash = NDArray[np.uint64]


def look(image: NDArray[np.uint8]) -> Hash | None:
    """[H, W] grey or [H, W, 3] RGB -> [4] uint64 of bits; None for a picture that is too plain."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    brighter = np.diff(small, axis=1) > LEAST_STEP
    if not FEWEST_STEPS <= brighter.sum() <= BITS - FEWEST_STEPS:
        return None
    return np.packbits(brighter).view(np.uint64)


def near_twins(these: Mapping[str, Hash], those: Mapping[str, Hash]) -> dict[str, str]:
    """Name of `these` -> the name of `those` that looks most like it, where one does."""
    if not these or not those:
        return {}
    names, others = list(these), list(those)
    there = np.stack([those[other] for other in others])
    found = {}
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK]
        here = np.stack([these[name] for name in chunk])
        distances = np.bitwise_count(here[:, None] ^ there).sum(axis=2)
        nearest = distances.argmin(axis=1)
        for row, name in enumerate(chunk):
            if distances[row, nearest[row]] <= NEAR_BITS:
                found[name] = others[nearest[row]]
    return found
