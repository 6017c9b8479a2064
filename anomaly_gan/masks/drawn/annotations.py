"""What somebody drew in labelme or COCO JSON files, element by element, each on a canvas of its own.

The canvas is as large as the file says; the pictures need not be there. Only a labelme file that does not state its
size needs its picture, embedded or found as the labelme reader finds it. A shape partly outside is cut off at the
border.
"""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading import coco, labelme
from anomaly_gan.formats.reading.finding import PictureFinder
from anomaly_gan.formats.reading.json_files import keys_of
from anomaly_gan.formats.reading.source import SourceTree, resolve
from anomaly_gan.masks.drawn.canvas import (
    Box,
    area,
    box_around,
    check_box,
    check_size,
    cut_polygon,
    fill_box,
    refuse_blank,
)
from infra.errors import DataError


@dataclass(frozen=True)
class Drawing:
    """One element.

    Attributes:
        source: file and numbers of the shapes, or id of the annotation: "a.json#2", "a.json#0+3"; unique.
        image: the picture it was drawn on, as written; the file's own path where it names none.
        label: as written.
        mask: [H, W] uint8 {0, 1} of the whole canvas, not empty.
        outside: share of its polygons that lay beyond the border and was cut off; 0 for other forms.
    """

    source: str
    image: str
    label: str
    mask: NDArray[np.uint8]
    outside: float = 0.0


def is_annotation(path: str) -> bool:
    return path.lower().endswith(".json")


def read_drawings(tree: SourceTree, path: str) -> Iterator[Drawing]:
    """The elements of a JSON file, one canvas at a time.

    labelme: each shape, or all shapes of one label and `group_id`. COCO: each annotation; its box is filled where it
    has no segmentation.

    Raises:
        DataError: the file is of neither form, does not give its canvas, or holds something that covers no pixel.
    """
    file = _parse(tree.read(path), path)
    if isinstance(file, coco.CocoFile):
        yield from _coco_drawings(file, path)
    else:
        yield from _labelme_drawings(file, tree, path)


def own_pictures(tree: SourceTree, json_paths: Iterable[str]) -> set[str]:
    """The pictures of the tree that JSON files name."""
    paths = frozenset(tree.paths())
    finder = PictureFinder(paths)
    found = set()
    for path in json_paths:
        file = _parse(tree.read(path), path)
        if isinstance(file, coco.CocoFile):
            for entry in coco.entries(file, path):
                with suppress(DataError):  # a file may name what is elsewhere
                    own = finder.find(entry.image.file_name, posixpath.dirname(path), path)
                    found |= {own.path} if own.is_exact else set()
        elif file.image_path:
            with suppress(DataError):
                found.add(resolve(posixpath.dirname(path), file.image_path, path))
    return found & paths


def _parse(data: bytes, name: str) -> labelme.LabelmeFile | coco.CocoFile:
    keys: frozenset[str] = frozenset()
    with suppress(DataError):  # labelme's reader says what is wrong
        keys = keys_of(data, name)
    return coco.parse(data, name) if keys >= {"images", "annotations"} else labelme.parse(data, name)


def _labelme_drawings(file: labelme.LabelmeFile, tree: SourceTree, path: str) -> Iterator[Drawing]:
    if file.height and file.width:
        width, height = check_size(file.width, file.height, path)
    else:
        source = labelme.find_source(PictureFinder(tree.paths()), file, path)
        height, width = labelme.load_image(tree, source, file, path).shape
    elements: dict[tuple[str, object], list[labelme.KeptShape]] = {}
    for kept in labelme.kept_shapes(file, path):
        elements.setdefault((kept.shape.label, kept.identity), []).append(kept)
    for (label, _), members in elements.items():
        mask = np.zeros((height, width), np.uint8)
        for kept in members:
            drawn = labelme.draw(kept, (height, width))
            mask |= refuse_blank(drawn, box_around(kept.shape.points), kept.name)
        numbers = "+".join(str(kept.number) for kept in members)
        polygons = [kept.shape.points for kept in members if kept.shape.shape_type in (None, "polygon")]
        outside = _share_outside(polygons, (width, height))
        yield Drawing(f"{path}#{numbers}", file.image_path or path, label, mask, outside)


def _coco_drawings(file: coco.CocoFile, path: str) -> Iterator[Drawing]:
    for entry in coco.entries(file, path):
        for kept in coco.kept_annotations(entry):
            source = f"{path}#{kept.annotation.id}"
            mask = _draw_annotation(kept, entry.image)
            outside = _share_outside(_polygons(kept), (mask.shape[1], mask.shape[0]))
            yield Drawing(source, entry.image.file_name, kept.label, mask, outside)


def _draw_annotation(kept: coco.KeptAnnotation, image: coco.CocoImage) -> NDArray[np.uint8]:
    if image.width is None or image.height is None:
        raise DataError(f"{kept.name}: its image {image.file_name!r} has no width and height in the file; add them")
    size = check_size(image.width, image.height, kept.name)
    segmentation = kept.annotation.segmentation
    if not segmentation:
        return fill_box(_box(kept), size, kept.name)
    extent = Box(0, 0, *size)
    mask = coco.decode_segmentation(segmentation, size[::-1], kept.name)
    if isinstance(segmentation, list):
        extent = box_around([xy for polygon in _polygons(kept) for xy in polygon])
    return refuse_blank(mask, extent, kept.name)


def _polygons(kept: coco.KeptAnnotation) -> list[list[tuple[float, float]]]:
    segmentation = kept.annotation.segmentation
    if not isinstance(segmentation, list):
        return []
    return [list(zip(polygon[::2], polygon[1::2], strict=True)) for polygon in segmentation]


def _share_outside(polygons: Iterable[Sequence[tuple[float, float]]], size: tuple[int, int]) -> float:
    """Share of the area of polygons that lies beyond a picture of `size`, (width, height)."""
    areas = [(area(polygon), area(cut_polygon(polygon, size))) for polygon in polygons]
    whole, inside = (sum(column) for column in zip(*areas, strict=True)) if areas else (0.0, 0.0)
    return max(1 - inside / whole, 0.0) if whole else 0.0


def _box(kept: coco.KeptAnnotation) -> Box:
    bbox = kept.annotation.bbox or ()
    if len(bbox) != 4:
        raise DataError(f"{kept.name}: has neither a segmentation nor a bbox of 4 numbers; draw it or remove it")
    return check_box(Box(*bbox), kept.name)
