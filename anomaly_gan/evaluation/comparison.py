"""Does generated data help? One detector, trained on real and on real + generated images (paper, Sec. 5.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.detectors.targets import to_instances
from anomaly_gan.detectors.training import predict, train_detector
from anomaly_gan.metrics.detection import DetectionScores, detection_scores
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

Arm = Literal["real", "real+generated"]


@dataclass(frozen=True)
class ArmProgress:
    """One optimiser step of one arm is done: `step` of `steps`, 1 first."""

    arm: Arm
    step: int
    steps: int
    loss: float


class ArmResult(Record):
    """One arm: what its detector saw, and how well it finds the anomalies of the real test images."""

    arm: Arm
    real_images: int
    generated_images: int
    steps: int
    images_shown: int
    losses: tuple[float, ...]
    scores: DetectionScores


class DetectorComparison(Record):
    """What came of both arms, which differ in the training images only."""

    real: ArmResult
    real_and_generated: ArmResult
    classes: tuple[str, ...]
    config: DetectorConfig


def compare_detectors(
    *,
    real_train: Sequence[Sample],
    generated: Sequence[Sample],
    real_test: Sequence[Sample],
    classes: Sequence[str],
    config: DetectorConfig,
    device: str = "cpu",
    weights_folder: Path | None = None,
    on_progress: Callable[[ArmProgress], None] = lambda progress: None,
) -> DetectorComparison:
    """Train and test both arms.

    Both arms have the same first weights, seed and number of optimiser steps, so more images mean fewer
    passes over each, not more training. Images are drawn evenly from the arm's images, normal ones included.

    Args:
        real_train: annotated real images; normal ones teach the detector what is none.
        generated: images with their masks as annotation.
        real_test: real images of other physical parts than `real_train`.
        classes: names of the anomaly classes, labels 1..K.
        config: the detector and its training.
        device: where it is trained.
        weights_folder: read only for `config.weights = "file"`.
        on_progress: called after every optimiser step of each arm.

    Raises:
        UsageError: there is no such detector.
        DataError: one of the three sets has no anomaly of these classes.
        NotFoundError: the backbone's file is wanted and not there.
        TrainingError: a loss is not finite.
    """
    for name, samples in (("real training", real_train), ("generated", generated), ("real test", real_test)):
        if not any(len(to_instances(sample, classes).labels) for sample in samples):
            raise DataError(f"the {len(samples)} {name} images have no anomaly of {', '.join(classes)}")
    arm = partial(
        _run_arm,
        real_train=real_train,
        real_test=real_test,
        classes=classes,
        config=config,
        device=device,
        weights_folder=weights_folder,
        on_progress=on_progress,
    )
    return DetectorComparison(
        real=arm("real", ()),
        real_and_generated=arm("real+generated", generated),
        classes=tuple(classes),
        config=config,
    )


def _run_arm(
    arm: Arm,
    added: Sequence[Sample],
    *,
    real_train: Sequence[Sample],
    real_test: Sequence[Sample],
    classes: Sequence[str],
    config: DetectorConfig,
    device: str,
    weights_folder: Path | None,
    on_progress: Callable[[ArmProgress], None],
) -> ArmResult:
    model = build_detector(len(classes), config, weights_folder)
    losses = []
    for report in train_detector(model, [*real_train, *added], classes, config, device):
        losses.append(report.loss)
        on_progress(ArmProgress(arm, report.step, report.steps, report.loss))
    targets = [to_instances(sample, classes) for sample in real_test]
    has_masks = find_detector(config.name).has_masks
    found = list(predict(model, real_test, classes, has_masks=has_masks, device=device))
    return ArmResult(
        arm=arm,
        real_images=len(real_train),
        generated_images=len(added),
        steps=config.steps,
        images_shown=config.steps * config.batch_size,
        losses=tuple(losses),
        scores=detection_scores(found, targets, classes, config.score_threshold),
    )
