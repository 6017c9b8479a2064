"""A cell of a comparison: one detector, trained on one arm from one seed, and tested.

A cell is a pure function of its arm, its detector's config, seed included, and the material. So cells can be run in any
order, on any machine, and kept: `cell_files` gives them a form in bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.targets import to_instances
from anomaly_gan.detectors.training import predict, train_detector
from anomaly_gan.evaluation.arms import Arm
from anomaly_gan.evaluation.material import Material, streams
from anomaly_gan.metrics.detection import DetectionCounter, Detections, DetectionScores
from anomaly_gan.metrics.pixels import PictureCounts, PixelScores, count_picture, pixel_ap_of_sums, pixel_scores
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample

VERSION = 1
"""Of what a cell does: a change after which the same cell has other scores needs another number, so that no kept cell
stands for a new one."""


class CellResult(Record):
    """One detector: what it was shown, and how well it finds the anomalies of the test pictures.

    Attributes:
        shown: name of a stream -> its images among all that were shown.
        pictures: name of a stream -> how many different pictures it has.
        pixels: of its anomaly maps, all classes as one; None where the detector finds boxes alone.
        class_pixel_ap: class -> pixel AP of its own map, None where the test set has no pixel of it; empty likewise.
    """

    arm: str
    seed: int
    shown: dict[str, int]
    pictures: dict[str, int]
    losses: tuple[float, ...]
    scores: DetectionScores
    pixels: PixelScores | None
    class_pixel_ap: dict[str, float | None] = Field(default_factory=dict)


class FailedCell(Record):
    """A cell without a result; `reason` is a sentence."""

    arm: str
    seed: int
    reason: str


@dataclass(frozen=True)
class Cell:
    """A cell that was run, with what a verdict needs of it.

    Attributes:
        counts: of each test picture, all classes as one; empty where the detector finds boxes alone.
        groups: of each test picture, its physical part.
    """

    result: CellResult
    counts: Sequence[PictureCounts]
    groups: Sequence[str]


def run_cell(
    arm: Arm,
    config: DetectorConfig,
    material: Material,
    *,
    device: str = "cpu",
    weights_folder: Path | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Cell:
    """Train and test one detector.

    Args:
        config: of the detector, its seed included, with every value as it is to be (`DetectorConfig.filled_in`).
        device: where it is trained.
        weights_folder: read only for `config.weights = "file"`.
        on_step: called with number, 1 first, and loss after every optimiser step.

    Raises:
        UsageError: there is no such detector, or the material has nothing from the arm's source.
        DataError: a set has no anomaly of the classes.
        NotFoundError: the backbone's file is wanted and not there.
        TrainingError: a loss is not finite.
    """
    shown, classes = streams(arm, material), material.classes
    model = build_detector(len(classes), config, weights_folder)
    losses = []
    for done in train_detector(model, shown, classes, config, device):
        losses.append(done.loss)
        on_step(done.step, done.loss)
    has_masks = find_detector(config.name).has_masks
    tested = _Tested(classes, config.score_threshold)
    found = predict(model, material.test, classes, has_masks=has_masks, device=device)
    for sample, each in zip(material.test, found, strict=True):
        tested.add(each, sample)
    result = CellResult(
        arm=arm.name,
        seed=config.seed,
        shown=_shown(shown, config),
        pictures={stream.name: len(stream.samples) for stream in shown},
        losses=tuple(losses),
        scores=tested.counter.scores(),
        pixels=pixel_scores(tested.counts) if has_masks else None,
        class_pixel_ap=tested.class_pixel_ap() if has_masks else {},
    )
    return Cell(result, tested.counts, list(material.groups))


def _shown(streams: Sequence[Stream], config: DetectorConfig) -> dict[str, int]:
    total = config.steps * config.batch_size
    return {stream.name: round(total * stream.share) for stream in streams}


class _Tested:
    """Counts what was found, picture by picture."""

    def __init__(self, classes: Sequence[str], score_threshold: float) -> None:
        self.classes = classes
        self.counter = DetectionCounter(classes, score_threshold)
        self.counts: list[PictureCounts] = []
        # class -> sums of [BINS] pixels in the mask and outside, over the pictures
        self._sums: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def add(self, found: Detections, sample: Sample) -> None:
        self.counter.add(found, to_instances(sample, self.classes))
        if found.maps is None:
            return
        empty = np.zeros(sample.image.shape[:2], np.uint8)
        masks = [sample.masks.get(name, empty) for name in self.classes]
        # the likelihood that a pixel is anomalous at all, against the masks of all classes together
        self.counts.append(count_picture(found.maps.max(0), np.maximum.reduce(masks)))
        for name, score_map, mask in zip(self.classes, found.maps, masks, strict=True):
            one = count_picture(score_map, mask) if len(masks) > 1 else self.counts[-1]
            inside, outside = self._sums.get(name, (0, 0))
            self._sums[name] = (inside + one.positives, outside + one.negatives)

    def class_pixel_ap(self) -> dict[str, float | None]:
        return {name: pixel_ap_of_sums(*sums) for name, sums in self._sums.items()}
