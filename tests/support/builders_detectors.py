"""Small detectors, and pictures on which they learn."""

from collections.abc import Sequence

import numpy as np

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.metrics.detection import DetectionCounter, Detections, DetectionScores, Instances
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


def detection_scores(
    predictions: Sequence[Detections],
    targets: Sequence[Instances],
    classes: Sequence[str],
    score_threshold: float = 0.5,
) -> DetectionScores:
    """Scores of all images at once."""
    counter = DetectionCounter(classes, score_threshold)
    for found, truth in zip(predictions, targets, strict=True):
        counter.add(found, truth)
    return counter.scores()
