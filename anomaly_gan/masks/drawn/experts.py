"""The masks that experts draw, in whatever form they send them.

*.json        labelme or COCO: see `annotations`
*.csv         a list of filled boxes: class,left,top,width,height,image_width,image_height; see `box_tables`
<class>/x.png a mask picture, at any depth and of any picture format; each 8-connected part is an element

A picture that a JSON file names, or that shares its name beside it, is what was drawn on and no mask. Other files are
passed over. What reaches over the border of its canvas is cut off there.
"""

import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.pictures import decode_levels, is_picture
from anomaly_gan.formats.reading.source import SourceTree
from anomaly_gan.masks.drawn.annotations import is_annotation, own_pictures, read_drawings
from anomaly_gan.masks.drawn.box_tables import BOX_COLUMNS, SIZE_COLUMNS, is_table, read_boxes, to_text
from anomaly_gan.masks.drawn.canvas import fill_box
from anomaly_gan.masks.drawn.classes import KnownClasses
from anomaly_gan.masks.pool.pool import MIN_ELEMENT_PX
from anomaly_gan.samples.sample import MASK_THRESHOLD
from infra.errors import DataError


@dataclass(frozen=True)
class DrawnMask:
    """One element that an expert drew.

    Attributes:
        source: file and shape, annotation, line or part: "a.json#2"; unique in the tree.
        class_name: a class of the data set.
        mask: [H, W] uint8 {0, 1} of the whole canvas that the expert drew on, not empty.
        outside: share of its polygons that lay beyond the canvas and was cut off.
    """

    source: str
    class_name: str
    mask: NDArray[np.uint8]
    outside: float = 0.0


def read_expert_masks(tree: SourceTree, classes: Collection[str]) -> Iterator[DrawnMask]:
    """The elements of a folder in the order of its paths, one canvas in memory at a time.

    Args:
        tree: the folder.
        classes: of the data set; labels become class names as in the import.

    Raises:
        DataError: a file is broken, a label is no class, a shape covers no pixel, or the folder holds no mask.
    """
    known = KnownClasses(classes)
    mask_pictures = _mask_pictures(tree)
    is_empty = True
    for path in tree.paths():
        for mask in _read_file(tree, path, mask_pictures, known):
            is_empty = False
            yield mask
    if is_empty:
        raise DataError(
            f"{tree.url}: holds no expert mask; add labelme or COCO files (*.json), box lists (*.csv),"
            f" or mask pictures in folders named after a class ({known.listed()})"
        )


def _mask_pictures(tree: SourceTree) -> set[str]:
    """All pictures but those that JSON files are about."""
    json_paths = [path for path in tree.paths() if is_annotation(path)]
    annotated = {posixpath.splitext(path)[0] for path in json_paths}
    pictures = {path for path in tree.paths() if is_picture(path) and posixpath.splitext(path)[0] not in annotated}
    return pictures - own_pictures(tree, json_paths) if pictures else pictures


def _read_file(tree: SourceTree, path: str, mask_pictures: set[str], known: KnownClasses) -> Iterator[DrawnMask]:
    if is_annotation(path):
        for drawing in read_drawings(tree, path):
            class_name = known.name(drawing.label, drawing.source)
            yield DrawnMask(drawing.source, class_name, drawing.mask, drawing.outside)
    elif is_table(path):
        yield from _boxes(tree, path, known)
    elif path in mask_pictures:
        yield from _parts(tree, path, known)


def _boxes(tree: SourceTree, path: str, known: KnownClasses) -> Iterator[DrawnMask]:
    for line in read_boxes(to_text(tree.read(path), path), path, ("class", *BOX_COLUMNS, *SIZE_COLUMNS)):
        assert line.size is not None  # its columns are needed ones
        class_name = known.name(line.cells["class"], line.name)
        yield DrawnMask(f"{path}#{line.number}", class_name, fill_box(line.box, line.size, line.name))


def _parts(tree: SourceTree, path: str, known: KnownClasses) -> Iterator[DrawnMask]:
    folder = posixpath.basename(posixpath.dirname(path))
    if not folder:
        raise DataError(f"{path}: a mask picture lies in a folder named after its class; move it to {known.listed()}")
    class_name = known.name(folder, path)
    mask = (decode_levels(tree.read(path), path) >= MASK_THRESHOLD).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= MIN_ELEMENT_PX]
    if not kept:
        raise DataError(
            f"{path}: the mask has no connected part of {MIN_ELEMENT_PX} px or more whose grey level is at least"
            f" {MASK_THRESHOLD}; draw it or remove the picture"
        )
    for part in kept:
        yield DrawnMask(f"{path}#{part}", class_name, (labels == part).astype(np.uint8))
