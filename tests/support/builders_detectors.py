"""Small detectors, and pictures on which they learn."""

import numpy as np

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.samples.sample import Sample

TINY = DetectorConfig(
    steps=2,
    batch_size=2,
    warmup_steps=1,
    rpn_proposals=16,
    rpn_samples=16,
    box_samples=8,
    anchor_sizes_px=(8, 16, 32, 48, 64),
)


def tiny(name: str, **changes: object) -> DetectorConfig:
    return DetectorConfig.model_validate({**TINY.model_dump(), "name": name, **changes})


def bright_square(key: str, top: int = 10, left: int = 12, side: int = 16, size: int = 64) -> Sample:
    """A bright hole on dark noise."""
    image = np.random.default_rng(top).integers(70, 90, (size, size), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return Sample(key, image + mask * np.uint8(120), {"hole": mask})
