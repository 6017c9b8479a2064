"""labelme: `KEY.png` and `KEY.json`, each instance a shape of the type `mask` with its number as `group_id`."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample, encode_png

VERSION = "5.3.0"
"""The first version of labelme that knows the type `mask`."""


class LabelmeExporter(Exporter):
    """Instances of a class are numbered from 1 in each picture."""

    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        height, width = sample.image.shape[:2]
        numbers: Counter[str] = Counter()
        shapes = []
        for instance in instances:
            numbers[instance.class_name] += 1
            shapes.append(_shape(instance, numbers[instance.class_name]))
        document = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": f"{sample.key}.png",
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        self.write(f"{sample.key}.png", picture)
        self.write(f"{sample.key}.json", json.dumps(document, indent=2).encode())


def _shape(instance: Instance, number: int) -> dict[str, Any]:
    """A mask is the content of its box, whose last row and column belong to it, as PNG of 0 and 1."""
    left, top, width, height = instance.box
    png = encode_png(instance.mask[top : top + height, left : left + width])
    return {
        "label": instance.class_name,
        "points": [[left, top], [left + width - 1, top + height - 1]],
        "group_id": number,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png).decode(),
    }
