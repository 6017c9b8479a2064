"""Does generated data help? Detectors trained on several arms with several seeds, and a verdict for each arm.

A cell is one detector, trained on one arm with one seed. Cells of one seed share first weights, the order of the normal
and of the real pictures, and the test pictures, so that their scores are compared in pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.detectors.targets import to_instances
from anomaly_gan.detectors.training import Stream, predict, train_detector
from anomaly_gan.evaluation.arms import BASE, NORMAL_SHARE, Arm, find_arm
from anomaly_gan.evaluation.verdict import Interval, Verdict, draw_groups, interval_of_mean, judge, score_arm
from anomaly_gan.metrics.detection import DetectionCounter, Detections, DetectionScores
from anomaly_gan.metrics.pixels import PictureCounts, PixelScores, count_picture, pixel_scores
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError


@dataclass(frozen=True)
class Material:
    """What detectors learn from, and what they are tested on.

    Attributes:
        normals, real: normal and anomalous training pictures.
        added: name -> anomalous pictures that were made of the training split.
        test: whole pictures of other physical parts than those of the training split, normal ones among them.
        groups: of each test picture, its physical part.
        classes: names of the anomaly classes, labels 1..K.
    """

    normals: Sequence[Sample]
    real: Sequence[Sample]
    added: Mapping[str, Sequence[Sample]]
    test: Sequence[Sample]
    groups: Sequence[str]
    classes: tuple[str, ...]


def streams(arm: Arm, material: Material) -> list[Stream]:
    """What an arm's detector is shown."""
    anomalous = [("real", material.real)] if arm.has_real else []
    if arm.added is not None:
        anomalous.append((arm.added, material.added[arm.added]))
    share = (1 - NORMAL_SHARE) / len(anomalous)
    return [
        Stream("normal", NORMAL_SHARE, material.normals),
        *(Stream(name, share, samples) for name, samples in anomalous),
    ]


@dataclass(frozen=True)
class CellProgress:
    """One optimiser step of one cell is done: `step` of `steps`, 1 first; `cell` of `cells`, 1 first."""

    arm: str
    seed: int
    cell: int
    cells: int
    step: int
    steps: int
    loss: float


class CellResult(Record):
    """One detector: what it was shown, and how well it finds the anomalies of the test pictures.

    Attributes:
        shown: name of a stream -> its images among all that were shown.
        pictures: name of a stream -> how many different pictures it has.
        pixels: of its anomaly maps, all classes as one; None where the detector finds boxes alone.
    """

    arm: str
    seed: int
    shown: dict[str, int]
    pictures: dict[str, int]
    losses: tuple[float, ...]
    scores: DetectionScores
    pixels: PixelScores | None


class Comparison(Record):
    """All cells, and what they say together.

    Attributes:
        pixel_ap: arm -> its mean over the seeds, with the 95 % interval; empty where the detector has no anomaly maps.
        verdicts: arm, but for the base -> how it does beside the base; empty likewise.
    """

    cells: tuple[CellResult, ...]
    pixel_ap: dict[str, Interval]
    verdicts: dict[str, Verdict]
    classes: tuple[str, ...]
    config: DetectorConfig

    @property
    def arms(self) -> list[str]:
        """In the order in which they were run, the base first."""
        return list(dict.fromkeys(cell.arm for cell in self.cells))

    def of_arm(self, arm: str) -> list[CellResult]:
        """In the order of the seeds."""
        return [cell for cell in self.cells if cell.arm == arm]


def compare_arms(
    arms: Sequence[str],
    seeds: int,
    material: Material,
    config: DetectorConfig,
    *,
    device: str = "cpu",
    weights_folder: Path | None = None,
    on_progress: Callable[[CellProgress], None] = lambda progress: None,
) -> Comparison:
    """Train and test a detector for each arm and seed.

    Args:
        arms: keys of `ARMS`; the base is run in any case, and first.
        seeds: how many; the first is the config's, each further one is one more.
        material: what is learnt from and tested on.
        config: the detector and its training, the same for all cells but for the seed.
        device: where it is trained.
        weights_folder: read only for `config.weights = "file"`.
        on_progress: called after every optimiser step.

    Raises:
        UsageError: there is no such detector or arm.
        DataError: a set has no anomaly of these classes.
        NotFoundError: the backbone's file is wanted and not there.
        TrainingError: a loss is not finite.
    """
    wanted = [BASE, *(name for name in dict.fromkeys(arms) if name != BASE)]
    _refuse_empty(wanted, material)
    cells: list[CellResult] = []
    counts: dict[str, dict[int, list[PictureCounts]]] = {name: {} for name in wanted}
    total = len(wanted) * seeds
    for seed in range(config.seed, config.seed + seeds):
        for name in wanted:
            number = len(cells) + 1

            def report(step: int, loss: float, name: str = name, seed: int = seed, number: int = number) -> None:
                on_progress(CellProgress(name, seed, number, total, step, config.steps, loss))

            shown = streams(find_arm(name), material)
            cell, of_pictures = _run_cell(
                name, shown, material, config.model_copy(update={"seed": seed}), device, weights_folder, report
            )
            cells.append(cell)
            counts[name][seed] = of_pictures
    pixel_ap, verdicts = _judged(counts, material.groups) if cells[0].pixels is not None else ({}, {})
    return Comparison(cells=tuple(cells), pixel_ap=pixel_ap, verdicts=verdicts, classes=material.classes, config=config)


def _judged(
    counts: Mapping[str, Mapping[int, Sequence[PictureCounts]]], groups: Sequence[str]
) -> tuple[dict[str, Interval], dict[str, Verdict]]:
    """(arm -> its pixel AP, arm but for the base -> how it does beside the base).

    Args:
        counts: arm -> seed -> of each test picture, the base first.
        groups: of each test picture.
    """
    draws = draw_groups(next(iter(counts[BASE].values())), groups)
    scored = {arm: score_arm(cells, draws) for arm, cells in counts.items()}
    intervals = {arm: interval_of_mean(one) for arm, one in scored.items()}
    return intervals, {arm: judge(scored[BASE], one) for arm, one in scored.items() if arm != BASE}


def _refuse_empty(arms: Sequence[str], material: Material) -> None:
    sets: dict[str, Sequence[Sample]] = {"real training": material.real, "real test": material.test}
    for added in (find_arm(name).added for name in arms):
        if added is not None:
            sets[added.replace("_", "-")] = material.added[added]
    for name, samples in sets.items():
        if not any(len(to_instances(sample, material.classes).labels) for sample in samples):
            raise DataError(f"the {len(samples)} {name} images have no anomaly of {', '.join(material.classes)}")


def _run_cell(
    arm: str,
    shown: Sequence[Stream],
    material: Material,
    config: DetectorConfig,
    device: str,
    weights_folder: Path | None,
    report: Callable[[int, float], None],
) -> tuple[CellResult, list[PictureCounts]]:
    """The cell, and the counts of its anomaly maps, picture by picture; none where it finds boxes alone."""
    classes = material.classes
    model = build_detector(len(classes), config, weights_folder)
    losses = []
    for done in train_detector(model, shown, classes, config, device):
        losses.append(done.loss)
        report(done.step, done.loss)
    has_masks = find_detector(config.name).has_masks
    counter, counts = DetectionCounter(classes, config.score_threshold), []
    found = predict(model, material.test, classes, has_masks=has_masks, device=device)
    for sample, each in zip(material.test, found, strict=True):
        counter.add(each, to_instances(sample, classes))
        if each.maps is not None:
            counts.append(_count(each, sample, classes))
    total = config.steps * config.batch_size
    cell = CellResult(
        arm=arm,
        seed=config.seed,
        shown={stream.name: round(total * stream.share) for stream in shown},
        pictures={stream.name: len(stream.samples) for stream in shown},
        losses=tuple(losses),
        scores=counter.scores(),
        pixels=pixel_scores(counts) if counts else None,
    )
    return cell, counts


def _count(found: Detections, sample: Sample, classes: Sequence[str]) -> PictureCounts:
    """Of the likelihood that a pixel is anomalous at all, against the masks of all classes together."""
    assert found.maps is not None
    mask = np.zeros(sample.image.shape[:2], np.uint8)
    for name in classes:
        if name in sample.masks:
            mask |= sample.masks[name]
    return count_picture(found.maps.max(0), mask)


def titles(arms: Sequence[str]) -> dict[str, str]:
    """How a report names arms."""
    return {name: find_arm(name).title for name in arms}
