"""The polygons of a YOLO export, filled as Ultralytics and as COCO's tools fill them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from faster_coco_eval.core import mask as mask_api
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.formats.writing.outlines import outlines
from tests.support.builders_export import HEIGHT, SHAPES, WIDTH, blank, crack, disc, sample, samples, sieve, write

Mask = NDArray[np.uint8]
Polygons = list[NDArray[np.float64]]
Fill = Callable[[Polygons, tuple[int, int]], Mask]

SCALE = 4
"""A detector sees small pictures enlarged: 64 px become 256 px."""


def as_ultralytics(polygons: Polygons, shape: tuple[int, int]) -> Mask:
    """Whole pixels, outline included."""
    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        part = np.zeros(shape, np.uint8)
        cv2.fillPoly(part, [polygon.astype(np.int32)], 1)
        mask |= part
    return mask


def as_coco(polygons: Polygons, shape: tuple[int, int]) -> Mask:
    """Up to the exact outline."""
    runs = mask_api.frPyObjects([polygon.ravel().tolist() for polygon in polygons], *shape)
    return np.asarray(mask_api.decode(mask_api.merge(runs)), np.uint8)


def labels(folder: Path, key: str) -> list[tuple[int, NDArray[np.float64]]]:
    """(class, polygon [n, 2] from 0 to 1) of each line."""
    rows = [line.split() for line in (folder / "labels" / "train" / f"{key}.txt").read_text().splitlines()]
    return [(int(row[0]), np.array(row[1:], float).reshape(-1, 2)) for row in rows]


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("fill", [as_ultralytics, as_coco])
@pytest.mark.parametrize("name", SHAPES)
def test_the_lines_of_a_file_give_the_mask_back_when_they_are_filled(tmp_path: Path, name: str, fill: Fill) -> None:
    write(tmp_path / "out", "yolo", [sample("a", crack=SHAPES[name])])
    polygons = [polygon * (WIDTH, HEIGHT) for _, polygon in labels(tmp_path / "out", "a")]
    assert iou(fill(polygons, (HEIGHT, WIDTH)), SHAPES[name]) == 1


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)))
def test_polygons_of_any_mask_give_it_back(mask: Mask) -> None:
    polygons = outlines(mask)
    assert len(polygons) == cv2.connectedComponents(mask, connectivity=8)[0] - 1
    assert all(len(np.unique(polygon, axis=0)) >= 4 for polygon in polygons)
    np.testing.assert_array_equal(as_ultralytics(polygons, mask.shape), mask)
    if polygons:
        np.testing.assert_array_equal(as_coco(polygons, mask.shape), mask)


@pytest.mark.parametrize("name", SHAPES)
def test_an_enlarged_picture_has_the_enlarged_mask(name: str) -> None:
    enlarged = SHAPES[name].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    polygons = [polygon * SCALE for polygon in outlines(SHAPES[name])]
    assert iou(as_ultralytics(polygons, enlarged.shape), enlarged) == 1
    assert iou(as_coco(polygons, enlarged.shape), enlarged) == 1


def test_a_mask_without_pixels_has_no_polygon() -> None:
    assert outlines(blank()) == []


def test_a_hole_and_what_lies_in_it_are_apart() -> None:
    around, island = sorted(outlines(sieve()), key=len, reverse=True)
    assert np.ptp(around, axis=0).min() > 40 and np.ptp(island, axis=0).max() < 2


def test_every_value_lies_in_the_picture_with_at_least_three_points_a_line(tmp_path: Path) -> None:
    write(tmp_path / "out", "yolo", samples())
    for one in samples():
        for _, polygon in labels(tmp_path / "out", one.key):
            assert len(polygon) >= 3
            assert polygon.min() > 0 and polygon.max() < 1


def test_classes_are_numbered_as_they_come_up_and_named_in_the_yaml(tmp_path: Path) -> None:
    written = [sample("a", hole=disc(5)), sample("b", hole=disc(5), crack=crack(1)), sample("c", **{"1e3": disc(2)})]
    write(tmp_path / "out", "yolo", written)
    names = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"]
    assert names == {0: "hole", 1: "crack", 2: "1e3"}
    assert [number for number, _ in labels(tmp_path / "out", "b")] == [1, 0]


def test_the_yaml_names_folders_beside_it_and_every_picture_has_its_labels(tmp_path: Path) -> None:
    write(tmp_path / "out", "yolo", samples())
    told = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert (told["train"], told["val"]) == ("images/train", "images/train")
    keys = {one.key for one in samples()}
    assert {path.name for path in (tmp_path / "out" / "images" / "train").iterdir()} == {f"{key}.png" for key in keys}
    assert {path.name for path in (tmp_path / "out" / "labels" / "train").iterdir()} == {f"{key}.txt" for key in keys}


def test_an_instance_of_several_parts_has_a_line_for_each(tmp_path: Path) -> None:
    write(tmp_path / "out", "yolo", samples())
    assert len(labels(tmp_path / "out", "annotated")) == 3
