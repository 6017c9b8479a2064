"""The mask alone does not tell whether an image is real: masks of both kinds have the same shapes, sizes and places.

Else discriminators learn to judge masks, and not what is in them. A probe without any network looks for a difference.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.batches import BatchSource
from tests.support.helpers import TEST_DATA
from tests.support.probe import told_apart

CLASS = "anomaly"
PAIRS, VIEW_PX, PICTURES, SIDE = 300, 64, 40, 110
Mask = NDArray[np.uint8]


def blob(rng: np.random.Generator) -> Mask:
    """A slanting ellipse with a rough outline, within the picture."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y, (first, second) = *rng.integers(20, SIDE - 20, 2), rng.integers(3, 16, 2)
    cv2.ellipse(mask, (int(x), int(y)), (int(first), int(second)), float(rng.uniform(0, 360)), 0, 360, 1, -1)
    rough = mask & (rng.random(mask.shape) < 0.97).astype(np.uint8)
    return cv2.morphologyEx(rough, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)).astype(np.uint8)


def crossing(rng: np.random.Generator) -> Mask:
    """A line that a border of the picture cuts off, at times longer than a view; most of them lie lengthwise."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, width = int(rng.integers(5, SIDE - 5)), int(rng.integers(2, 5))
    end = int(np.clip(x + rng.integers(-30, 31), 0, SIDE - 1)), int(rng.integers(15, 80))
    cv2.line(mask, (x, 0), end, 1, width)
    return mask[::-1].copy() if rng.random() < 0.5 else mask


def pair(rng: np.random.Generator) -> Mask:
    """A box, and beside it a smaller one, always at its right and a little lower."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x, y, (width, height) = *rng.integers(5, SIDE - 50, 2), rng.integers(6, 14, 2)
    mask[y : y + height, x : x + width] = 1
    mask[y + 8 : y + 13, x + width + 6 : x + width + 14] = 1
    return mask


def cue(normals: list[Sample], abnormals: list[Sample], view_px: int) -> float:
    """How well the probe tells the masks of training images, with the masks as they are by default."""
    view, pool = ViewConfig(kind="window", size=view_px), build_pool(abnormals, CLASS)
    source = BatchSource(normals, abnormals, pool, view, MaskConfig(), 0, 1)
    _, expert, _, prior = zip(*map(source.pair, range(PAIRS)), strict=True)
    return told_apart(expert, prior)


@pytest.mark.parametrize("shape", [blob, crossing, pair])
def test_the_shape_of_a_mask_does_not_tell_real_from_generated(shape: Callable[[np.random.Generator], Mask]) -> None:
    rng, image = np.random.default_rng(7), np.zeros((SIDE, SIDE), np.uint8)
    abnormals = [Sample(f"a{i}", image, {CLASS: shape(rng)}) for i in range(PICTURES)]
    assert cue([Sample("n", image)], abnormals, VIEW_PX) <= 0.65


def test_the_probe_sees_masks_that_are_turned_scaled_cut_off_or_rough() -> None:
    """So what it does not see is not there."""
    rng = np.random.default_rng(3)
    plain = [crossing(rng) for _ in range(PAIRS)]
    turned = [np.rot90(mask).copy() for mask in plain]
    larger = [cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in plain]
    inside = [mask * np.pad(np.ones((SIDE - 4,) * 2, np.uint8), 2) for mask in plain]
    rough = [mask & (rng.random(mask.shape) < 0.9).astype(np.uint8) for mask in plain]
    for others in (turned, larger, inside, rough):
        assert told_apart(plain, [mask.astype(np.uint8) for mask in others]) > 0.75
    assert told_apart(plain, [crossing(rng) for _ in range(PAIRS)]) < 0.58


# --- real pictures

REAL = {
    "blowhole": ("magnetic_tile", "blowhole"),
    "break": ("magnetic_tile", "break"),
    "crack": ("magnetic_tile", "crack"),
    "rails": ("rail_rsdds", "surface_defect"),
}


def level(path: Path) -> NDArray[np.uint8]:
    found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert found is not None
    return found.astype(np.uint8)


@pytest.mark.parametrize("name", REAL)
def test_the_shape_of_a_real_anomalys_mask_does_not_tell_real_from_generated(name: str) -> None:
    folder, class_name = TEST_DATA / REAL[name][0], REAL[name][1]
    if not folder.is_dir():
        pytest.skip(f"AGAN_TEST_DATA has no {folder.name}")
    abnormals = []
    for path in sorted((folder / "test" / class_name).iterdir()):
        mask = (level(folder / "ground_truth" / class_name / f"{path.stem}_mask.png") >= 128).astype(np.uint8)
        if mask.any():  # pictures themselves are not looked at, so their sizes are enough
            abnormals.append(Sample(path.stem, np.zeros_like(mask), {CLASS: mask}))
    paths = sorted((folder / "train" / "good").iterdir())
    normals = [Sample(path.stem, np.zeros_like(level(path))) for path in paths[:: max(len(paths) // 60, 1)]]
    assert cue(normals, abnormals, 128) <= 0.6
