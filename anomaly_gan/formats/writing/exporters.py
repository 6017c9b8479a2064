"""The list of formats that samples can be exported to, and the way there: one sample at a time."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_gan.formats.writing.coco import CocoExporter
from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.formats.writing.folders import new_folder
from anomaly_gan.formats.writing.formats import ExportFormat
from anomaly_gan.formats.writing.labelme import LabelmeExporter
from anomaly_gan.formats.writing.mvtec import MvtecExporter
from anomaly_gan.formats.writing.yolo import YoloExporter
from anomaly_gan.samples.instances import instances_of
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

EXPORTERS: dict[ExportFormat, type[Exporter]] = {
    "coco": CocoExporter,
    "yolo": YoloExporter,
    "mvtec": MvtecExporter,
    "labelme": LabelmeExporter,
}

SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""What may become a part of a path."""


@dataclass
class Counts:
    """What was written; `classes`: class -> instances."""

    images: int = 0
    classes: Counter[str] = field(default_factory=Counter)

    @property
    def instances(self) -> int:
        return self.classes.total()


def export_samples(samples: Iterable[tuple[Sample, bytes]], fmt: ExportFormat, target: Path) -> Counts:
    """Write samples to a new folder, which appears when it is complete.

    Args:
        samples: each with its image as PNG; taken one after another, none is kept.
        fmt: a key of EXPORTERS.
        target: must not be there yet.

    Raises:
        UsageError: `target` is there already, or cannot be written.
        DataError: two samples share a key, or a key or class cannot be part of a path.
    """
    counts = Counts()
    with new_folder(target) as folder:
        exporter = EXPORTERS[fmt](folder)
        for sample, picture in samples:
            _check_names(sample)
            instances = instances_of(sample)
            exporter.add(sample, picture, instances)
            counts.images += 1
            counts.classes.update(instance.class_name for instance in instances)
        exporter.finish()
    return counts


def _check_names(sample: Sample) -> None:
    for name in (sample.key, *sample.masks):
        if not SAFE_NAME.fullmatch(name):
            raise DataError(f"sample {sample.key!r}: {name!r} cannot be part of a path; generate it again")
