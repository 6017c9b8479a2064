"""Pictures that look alike are found, and others are not."""

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from anomaly_gan.samples.near_twins import Hash, look, near_twins


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """Smooth light and shade, as of a photograph."""
    coarse = np.random.default_rng(seed).integers(30, 220, (9, 12), dtype=np.uint8)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def seen(image: NDArray[np.uint8]) -> Hash:
    found = look(image)
    assert found is not None
    return found


def saved_again(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=70)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize(
    "changed",
    [
        saved_again(scene()),
        (scene() * 0.9 + 8).astype(np.uint8),
        cv2.resize(scene(), (320, 240)),
        np.dstack([scene()] * 3),
        np.clip(scene() + np.random.default_rng(1).normal(0, 3, (120, 160)), 0, 255).astype(np.uint8),
    ],
    ids=["saved again", "darker", "enlarged", "colour", "noise"],
)
def test_a_picture_that_was_changed_a_little_is_a_near_twin(changed: NDArray[np.uint8]) -> None:
    others = {f"other {seed}": seen(scene(seed)) for seed in range(1, 200)}
    assert near_twins({"a": seen(changed)}, {**others, "original": seen(scene())}) == {"a": "original"}


def test_other_pictures_are_no_near_twins() -> None:
    these = {str(seed): seen(scene(seed)) for seed in range(100)}
    assert near_twins(these, {str(seed): seen(scene(seed)) for seed in range(100, 300)}) == {}


@pytest.mark.parametrize("image", [np.full((64, 64), 90, np.uint8), np.arange(64, dtype=np.uint8)[None].repeat(64, 0)])
def test_a_plain_picture_says_nothing(image: NDArray[np.uint8]) -> None:
    assert look(image) is None


def test_no_pictures_have_no_twins() -> None:
    assert near_twins({}, {"a": seen(scene())}) == near_twins({"a": seen(scene())}, {}) == {}
