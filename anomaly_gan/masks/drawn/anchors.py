"""Anchors: boxes in normal pictures of the elements that `fixed` classes replace.

They come as a CSV file (image,class,left,top,width,height and, where the boxes were drawn on another size of the
picture, image_width,image_height) or as a folder of labelme, COCO and such CSV files. The box of an annotation is the
one around its drawn pixels; shapes of one label and `group_id` have one box.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import cv2

from anomaly_gan.formats.reading.source import SourceTree
from anomaly_gan.masks.drawn.annotations import is_annotation, read_drawings
from anomaly_gan.masks.drawn.box_tables import BOX_COLUMNS, is_table, read_boxes, to_text
from anomaly_gan.masks.drawn.canvas import Box, cut_box
from anomaly_gan.masks.drawn.classes import KnownClasses
from anomaly_gan.masks.drawn.matching import PictureIndex, Sources
from infra.errors import DataError


@dataclass(frozen=True)
class Anchor:
    """One box.

    Attributes:
        image: the picture, as written.
        class_name: of the data set.
        left, top, width, height: in px of the picture it was drawn on.
        picture_size: (width, height) of that picture; None = the data set's own.
        source: file and shape, annotation or line: "anchors.csv#3".
    """

    image: str
    class_name: str
    left: float
    top: float
    width: float
    height: float
    picture_size: tuple[int, int] | None
    source: str


def read_anchors_csv(text: str, name: str, classes: Collection[str]) -> list[Anchor]:
    """The boxes of a CSV file in its order.

    Args:
        text: the file, with a header line.
        name: how messages call it.
        classes: of the data set; labels become class names as in the import.

    Raises:
        DataError: no box, a column is missing, an unknown class, or a box without area or outside its picture.
    """
    return _of_csv(text, name, KnownClasses(classes))


def read_anchors(tree: SourceTree, classes: Collection[str]) -> list[Anchor]:
    """The boxes of a folder's JSON and CSV files in the order of their paths; other files are passed over.

    Raises:
        DataError: as `read_anchors_csv` and `read_drawings`, or the folder holds no box.
    """
    known = KnownClasses(classes)
    anchors: list[Anchor] = []
    for path in tree.paths():
        if is_annotation(path):
            anchors += _of_json(tree, path, known)
        elif is_table(path):
            anchors += _of_csv(to_text(tree.read(path), path), path, known)
    if not anchors:
        raise DataError(f"{tree.url}: holds no anchor; add labelme or COCO files (*.json) or box lists (*.csv)")
    return anchors


def match_anchors(
    anchors: Iterable[Anchor], sources: Sources
) -> dict[str, list[tuple[str, float, float, float, float]]]:
    """Find the sample of each anchor, and scale the box to it.

    Returns:
        Sample key -> (class, left, top, width, height) in px of the sample, cut off at its border.

    Raises:
        DataError: an anchor's image is none of the pictures, or several, or its box lies outside.
    """
    index = PictureIndex(sources)
    boxes: dict[str, list[tuple[str, float, float, float, float]]] = {}
    for anchor in anchors:
        key = index.key(anchor.image, anchor.source)
        _, width, height = sources[key]
        drawn_width, drawn_height = anchor.picture_size or (width, height)
        across, down = width / drawn_width, height / drawn_height
        scaled = Box(anchor.left * across, anchor.top * down, anchor.width * across, anchor.height * down)
        boxes.setdefault(key, []).append((anchor.class_name, *cut_box(scaled, (width, height), anchor.source)))
    return boxes


def _of_csv(text: str, name: str, known: KnownClasses) -> list[Anchor]:
    return [
        Anchor(
            line.cells["image"],
            known.name(line.cells["class"], line.name),
            *line.box,
            line.size,
            f"{name}#{line.number}",
        )
        for line in read_boxes(text, name, ("image", "class", *BOX_COLUMNS))
    ]


def _of_json(tree: SourceTree, path: str, known: KnownClasses) -> Iterable[Anchor]:
    for drawing in read_drawings(tree, path):
        class_name = known.name(drawing.label, drawing.source)
        left, top, width, height = map(float, cv2.boundingRect(drawing.mask))
        size = (drawing.mask.shape[1], drawing.mask.shape[0])
        yield Anchor(drawing.image, class_name, left, top, width, height, size, drawing.source)
