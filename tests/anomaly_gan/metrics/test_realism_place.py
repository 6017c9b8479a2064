"""Measures do not depend on where a picture lies in memory, so that every process records the same."""

import cv2
import numpy as np

from anomaly_gan.metrics.realism import appearance


def test_a_picture_has_the_same_measures_wherever_it_lies_in_memory() -> None:
    rng, buffer, kept = np.random.default_rng(0), np.zeros(20_000, np.uint8), []
    for _ in range(12):
        height, width = (int(side) for side in rng.integers(60, 130, 2))
        image = cv2.GaussianBlur(rng.integers(0, 255, (height, width)).astype(np.uint8), (0, 0), 1.5)
        mask = np.zeros((height, width), np.uint8)
        cv2.circle(mask, (width // 2, height // 2), int(rng.integers(6, 20)), 1, -1)
        found = set()
        for _ in range(10):
            kept.append(np.empty(int(rng.integers(1, 9000)), np.float32))  # moves what is allocated next
            start = int(rng.integers(64))
            placed = buffer[start : start + height * width].reshape(height, width)
            placed[:] = image
            found.add(str(appearance(placed, mask)))
        assert len(found) == 1
