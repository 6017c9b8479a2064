"""The export of samples to a new folder, in any of the listed formats: one sample at a time."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_gan.formats.writing.exporters import exporter
from anomaly_gan.formats.writing.folders import new_folder
from anomaly_gan.samples.instances import instances_of
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
"""Names that may become a part of a path."""


@dataclass
class Counts:
    """What was written; `classes`: class -> instances."""

    images: int = 0
    classes: Counter[str] = field(default_factory=Counter)

    @property
    def instances(self) -> int:
        return self.classes.total()


def export_samples(samples: Iterable[tuple[Sample, bytes]], fmt: str, target: Path) -> Counts:
    """Write samples to a new folder, which appears when it is complete.

    Args:
        samples: each with its image as PNG; taken one after another, none is kept.
        fmt: a key of `exporters.EXPORTERS`.
        target: must not be there yet.

    Raises:
        UsageError: there is no such format; `target` is there already, or cannot be written.
        DataError: two samples share a key, or a key or class cannot be part of a path.
    """
    counts = Counts()
    make = exporter(fmt)
    with new_folder(target) as folder:
        writer = make(folder)
        for sample, picture in samples:
            _check_names(sample)
            instances = instances_of(sample)
            writer.add(sample, picture, instances)
            counts.images += 1
            counts.classes.update(instance.class_name for instance in instances)
        writer.finish()
    return counts


def _check_names(sample: Sample) -> None:
    for name in (sample.key, *sample.masks):
        if not SAFE_NAME.fullmatch(name):
            raise DataError(f"sample {sample.key!r}: {name!r} cannot be part of a path; generate it again")
