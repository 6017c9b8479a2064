"""COCO instances: `images/KEY.png` and `annotations.json`, masks as uncompressed run lengths."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample

DOCUMENT = "annotations.json"


class CocoExporter(Exporter):
    """Ids count from 1: images and annotations in the order of the samples, categories by name.

    A category's id is known only when every sample has been seen. Until then rows wait in two files of the folder, and
    the document is joined from them line by line.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._images = _Rows(folder / "images.jsonl")
        self._annotations = _Rows(folder / "annotations.jsonl")
        self._classes: set[str] = set()

    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        name = f"images/{sample.key}.png"
        self.write(name, picture)
        height, width = sample.image.shape[:2]
        image_id = self._images.next_id
        self._images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for instance in instances:
            self._classes.add(instance.class_name)
            about = {"id": self._annotations.next_id, "image_id": image_id, "category_id": instance.class_name}
            self._annotations.append({**about, **_shape(instance)})

    def finish(self) -> None:
        ids = {name: number for number, name in enumerate(sorted(self._classes), 1)}
        categories = [{"id": number, "name": name} for name, number in ids.items()]
        with (self.folder / DOCUMENT).open("x", encoding="ascii") as document:
            document.write('{"images": [')
            document.writelines(_joined(self._images))
            document.write('],\n"annotations": [')
            document.writelines(_joined(_numbered(self._annotations, ids)))
            document.write('],\n"categories": [')
            document.writelines(_joined(categories))
            document.write("]}\n")
        self._images.path.unlink()
        self._annotations.path.unlink()


class _Rows:
    """JSON objects in a file, one a line; `next_id` is the number that the next one gets, from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.next_id = 1
        path.touch()

    def append(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="ascii") as file:
            file.write(f"{json.dumps(row)}\n")
        self.next_id += 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="ascii") as file:
            for line in file:
                yield json.loads(line)


def _numbered(rows: Iterable[dict[str, Any]], ids: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    return ({**row, "category_id": ids[row["category_id"]]} for row in rows)


def _joined(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield f"{',' if number else ''}\n{json.dumps(row)}"


def _shape(instance: Instance) -> dict[str, Any]:
    area = int(np.count_nonzero(instance.mask))
    return {"iscrowd": 0, "bbox": list(instance.box), "area": area, "segmentation": run_lengths(instance.mask)}


def run_lengths(mask: NDArray[np.uint8]) -> dict[str, list[int]]:
    """COCO's uncompressed RLE: counts of 0s and 1s in turn, column by column, beginning with 0s.

    Args:
        mask: [H, W] {0, 1}.
    """
    flat = np.concatenate([[0], mask.T.ravel(), [2]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], changes])).tolist()
    return {"size": list(mask.shape), "counts": counts}
