"""CVAT's own XML ("CVAT for images 1.1"): polygons, ellipses, polylines and run lengths.

A picture that the file lists without a shape is normal. Shapes of one label and `group_id` are one anomaly. A box is an
anomaly only where the user takes boxes for masks. Labels named as in SKIPPED_LABELS are left out.
"""

from collections.abc import Iterator
from functools import partial
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.finding import Found
from anomaly_gan.formats.reading.json_files import text_of
from anomaly_gan.formats.reading.listed import Listed, load_drawn
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.shapes import draw_shape
from anomaly_gan.formats.reading.source import (
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
)
from infra.errors import DataError

LINES = {"polygon": "polygon", "polyline": "linestrip"}
SHAPES = (*LINES, "box", "ellipse", "mask")
LOOKED_AT = 20


def fits(tree: SourceTree) -> bool:
    paths = [path for path in tree.paths() if path.lower().endswith(".xml")][:LOOKED_AT]
    return any(b"<image " in (data := tree.read(path)) and b"<annotations" in data for path in paths)


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """One item per image that an XML file lists.

    Raises:
        DataError: the tree has no XML file, or one that is none of CVAT's.
    """
    paths = tree.paths()
    xml_paths = [path for path in paths if path.lower().endswith(".xml")]
    if not xml_paths:
        raise DataError(f"{tree.url}: holds no XML file of CVAT (*.xml)")
    listed = Listed(paths)
    for xml_path in xml_paths:
        for image in parse(tree.read(xml_path), xml_path).iter("image"):
            listed.add(image.get("name", ""), xml_path, partial(_load, tree, image, xml_path, options))
    return listed.items()


def parse(data: bytes, name: str) -> ElementTree.Element:
    """The root of a file.

    Raises:
        DataError: no XML, one with declarations of its own, or none of CVAT's; begins with `name`.
    """
    text = text_of(data, name)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{name}: declares entities, which CVAT never does; export it again")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as err:
        raise DataError(f"{name}: not XML ({err}); export it again") from err
    if root.tag != "annotations" or root.find("track") is not None:
        raise DataError(f"{name}: not of the form 'CVAT for images'; export it in that form")
    return root


def _load(
    tree: SourceTree, image: ElementTree.Element, xml_path: str, options: ReadingOptions, found: Found
) -> Picture:
    name = f"{xml_path}: {found.path}"
    stated = int(_number(image, "height", name)), int(_number(image, "width", name))
    return load_drawn(
        tree, found, xml_path, stated, lambda shape: combine(_parts(image, shape, name, options), name), options
    )


def _parts(
    image: ElementTree.Element, shape: tuple[int, int], name: str, options: ReadingOptions
) -> Iterator[tuple[str, object, NDArray[np.uint8]]]:
    drawn = sorted(enumerate(image), key=lambda one: (int(_number(one[1], "z_order", name, 0)), one[0]))
    for number, element in drawn:
        label = element.get("label", "")
        if element.tag == "tag" or label in SKIPPED_LABELS:
            continue
        where = f"{name}: shape {number} ({label})"
        group = element.get("group_id", "0")
        identity = ("shape", number) if group in ("", "0") else ("group", group)
        yield label, identity, _draw(element, shape, where, options)


def _draw(
    element: ElementTree.Element, shape: tuple[int, int], name: str, options: ReadingOptions
) -> NDArray[np.uint8]:
    if element.tag in LINES:
        return draw_shape(LINES[element.tag], _points(element.get("points", ""), name), shape, name)
    if element.tag == "mask":
        return _run_lengths(element, shape, name)
    if element.tag == "ellipse":
        x, y, across, down = (_number(element, key, name) for key in ("cx", "cy", "rx", "ry"))
        turn = _number(element, "rotation", name, 0)
        angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
        return _turned_polygon(x + across * np.cos(angles), y + down * np.sin(angles), (x, y), turn, shape, name)
    if element.tag != "box":
        raise DataError(f"{name}: a {element.tag} is no area; known are {', '.join(SHAPES)}")
    if not options.boxes_as_masks:
        raise DataError(f"{name}: is a box, and a box alone is no mask; draw it, or give --boxes-as-masks")
    left, top, right, bottom = (_number(element, key, name) for key in ("xtl", "ytl", "xbr", "ybr"))
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    centre = ((left + right) / 2, (top + bottom) / 2)
    return _turned_polygon(corners[:, 0], corners[:, 1], centre, _number(element, "rotation", name, 0), shape, name)


def _turned_polygon(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    centre: tuple[float, float],
    degrees: float,
    shape: tuple[int, int],
    name: str,
) -> NDArray[np.uint8]:
    """Filled, turned clockwise about its centre, as CVAT shows it."""
    matrix = cv2.getRotationMatrix2D(centre, -degrees, 1)
    points = np.column_stack([x, y, np.ones(len(x))]) @ matrix.T
    return draw_shape("polygon", [(float(a), float(b)) for a, b in points.round(6)], shape, name)


def _points(text: str, name: str) -> list[tuple[float, float]]:
    try:
        pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
        return [(float(x), float(y)) for x, y in pairs]
    except ValueError as err:
        raise DataError(f"{name}: its points are no pairs of numbers; export it again") from err


def _run_lengths(element: ElementTree.Element, shape: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Runs of background and anomaly in turn, row by row, of the box that the element states."""
    left, top, width, height = (int(_number(element, key, name)) for key in ("left", "top", "width", "height"))
    try:
        runs = [int(run) for run in element.get("rle", "").split(",")]
    except ValueError as err:
        raise DataError(f"{name}: its run lengths are no numbers; export it again") from err
    fits_in = 0 <= left <= left + width <= shape[1] and 0 <= top <= top + height <= shape[0]
    if not fits_in or min(runs) < 0 or sum(runs) != width * height:
        raise DataError(f"{name}: its run lengths are not those of a part of the picture; export it again")
    placed = np.zeros(shape, np.uint8)
    values = np.repeat(np.arange(len(runs)) % 2, runs)
    placed[top : top + height, left : left + width] = values.reshape(height, width)
    return placed


def _number(element: ElementTree.Element, key: str, name: str, default: float | None = None) -> float:
    text = element.get(key, "" if default is None else str(default))
    try:
        value = float(text)
    except ValueError as err:
        raise DataError(f"{name}: {key} is no number; export it again") from err
    if not abs(value) < 1e9:
        raise DataError(f"{name}: {key} is no number of pixels; export it again")
    return value
