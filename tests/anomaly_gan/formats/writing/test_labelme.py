"""labelme's files as labelme itself takes them; that the importer reads them is in test_exporting.py."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.builders_export import HEIGHT, WIDTH, crack, disc, pixels, sample, write


def document(folder: Path, key: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / f"{key}.json").read_text())
    return told


def test_a_file_names_its_picture_and_its_size(tmp_path: Path) -> None:
    write(tmp_path / "out", "labelme", [sample("a", crack=crack(1))])
    told = document(tmp_path / "out", "a")
    assert (told["imagePath"], told["imageData"]) == ("a.png", None)
    assert (told["imageWidth"], told["imageHeight"]) == (WIDTH, HEIGHT)
    assert {"version", "flags", "shapes"} <= told.keys()


def test_instances_of_a_class_are_numbered_from_1(tmp_path: Path) -> None:
    apart = pixels((3, 3), (10, 10), (20, 40))
    write(tmp_path / "out", "labelme", [sample("a", hole=apart, crack=disc(3)), sample("b", hole=disc(5))])
    numbers = [(shape["label"], shape["group_id"]) for shape in document(tmp_path / "out", "a")["shapes"]]
    assert numbers == [("crack", 1), ("hole", 1), ("hole", 2), ("hole", 3)]
    assert [shape["group_id"] for shape in document(tmp_path / "out", "b")["shapes"]] == [1]


def test_a_shape_holds_the_mask_of_its_box_with_last_row_and_column(tmp_path: Path) -> None:
    write(tmp_path / "out", "labelme", [sample("a", crack=crack(2))])
    [shape] = document(tmp_path / "out", "a")["shapes"]
    assert shape["shape_type"] == "mask"
    bitmap = np.array(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
    (left, top), (right, bottom) = shape["points"]
    np.testing.assert_array_equal(crack(2)[top : bottom + 1, left : right + 1], bitmap)
    assert bitmap.sum() == crack(2).sum()
