"""YOLO segmentation: `images/train/KEY.png`, `labels/train/KEY.txt`, `data.yaml`; a line is a class and a polygon."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.formats.writing.outlines import outlines
from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample

DIGITS = 6


class YoloExporter(Exporter):
    """Classes are numbered from 0 as they come up, those of one sample by name.

    A polygon cannot lie apart: an annotated instance of several parts has a line for each of them.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._numbers: dict[str, int] = {}

    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        lines = []
        for instance in instances:
            number = self._numbers.setdefault(instance.class_name, len(self._numbers))
            lines += [f"{number} {_normalised(polygon, instance.mask)}\n" for polygon in outlines(instance.mask)]
        self.write(f"images/train/{sample.key}.png", picture)
        self.write(f"labels/train/{sample.key}.txt", "".join(lines).encode())

    def finish(self) -> None:
        names = "".join(f"  {number}: {json.dumps(name)}\n" for name, number in self._numbers.items())
        note = "  # put pictures of your own here: generated ones say nothing about real ones"
        self.write("data.yaml", f"train: images/train\nval: images/train{note}\nnames:\n{names}".encode())


def _normalised(polygon: NDArray[np.float64], mask: NDArray[np.uint8]) -> str:
    """x1 y1 x2 y2 …, each from 0 to 1."""
    shares = polygon / mask.shape[::-1]
    return " ".join(f"{value:.{DIGITS}f}" for value in shares.ravel().tolist())
