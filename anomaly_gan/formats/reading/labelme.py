"""labelme's JSON files, one per picture, drawn exactly as labelme draws them.

A picture is what `imageData` embeds, else the file that `imagePath` names (relative to the JSON), else the
picture beside the JSON that shares its name. Where the last two are different pictures, the user says which is meant.
A JSON without shapes is a normal picture, and so is a picture without JSON in a folder named `normal` or `good`.
Shapes labelled `__ignore__` or `_background_` are skipped. Shapes of one label and `group_id` are one instance; every
other shape is an instance of its own.
"""

import base64
import binascii
import posixpath
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from anomaly_gan.formats.reading.finding import BY_NAME_NOTE, PictureFinder
from anomaly_gan.formats.reading.frames import laid
from anomaly_gan.formats.reading.json_files import first_keys, is_json, parse_json
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.paired import load as load_plain
from anomaly_gan.formats.reading.pictures import Decoded, decode_picture, is_picture, open_picture
from anomaly_gan.formats.reading.shapes import draw_shape
from anomaly_gan.formats.reading.source import (
    NORMAL_FOLDERS,
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
    items_from,
    refusal,
)
from infra.errors import DataError

SIBLING_NOTE = "are named otherwise by `imagePath`; the picture beside the file, of the file's name, is taken"


class Shape(BaseModel):
    label: str
    points: list[tuple[float, float]] = Field(default=[])
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


class LabelmeFile(BaseModel):
    shapes: list[Shape]
    image_path: str | None = Field(default=None, alias="imagePath")
    image_data: str | None = Field(default=None, alias="imageData")
    height: int | None = Field(default=None, alias="imageHeight")
    width: int | None = Field(default=None, alias="imageWidth")


class KeptShape(NamedTuple):
    """A shape that means a class.

    Attributes:
        number: its place in the file, from 0.
        identity: of the instance; shapes of one label and identity are one.
        name: how messages call it.
    """

    number: int
    identity: object
    name: str
    shape: Shape


class Source(NamedTuple):
    """The picture that a file was drawn on.

    Attributes:
        path: of the picture; None where the file does not name one of the tree, but embeds it.
        is_embedded: its pixels are in the file.
        notes: what is worth telling of how it was found.
    """

    path: str | None
    is_embedded: bool
    notes: tuple[str, ...] = ()


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """One item per JSON file, and one per picture of a folder named `normal` or `good`.

    Raises:
        DataError: the tree has no JSON file.
    """
    paths = tree.paths()
    json_paths = [path for path in paths if is_json(path)]
    if not json_paths:
        raise DataError(f"{tree.url}: holds no labelme file (*.json)")
    finder = PictureFinder(paths)
    loaders: dict[str, Callable[[], Picture]] = {}
    drawn_on: dict[str, str] = {}
    annotated = {posixpath.splitext(path)[0] for path in json_paths}
    plain = {path for path in paths if is_picture(path) and _is_plain(path, annotated)}
    for path in json_paths:
        try:
            file = parse(tree.read(path), path)
            source = find_source(finder, file, path, options)
        except DataError as err:
            loaders[path] = refusal(str(err))
            continue
        loaders[path] = partial(_load, tree, path, source, options)
        if source.path in drawn_on:
            other = drawn_on[source.path]
            for one, two in ((path, other), (other, path)):
                loaders[one] = refusal(f"{one}: is drawn on {source.path}, and so is {two}; keep one of them")
        elif source.path in plain and any(kept_shapes(file, path)):
            told = (
                f"{source.path}: is normal by its folder and anomalous by {path}; move the picture or remove the file"
            )
            loaders[path] = loaders[source.path] = refusal(told)
        if source.path is not None:
            drawn_on.setdefault(source.path, path)
    for path in plain - drawn_on.keys():
        loaders[path] = partial(load_plain, tree, path, "", (), options)
    return items_from(loaders)


def fits(tree: SourceTree) -> bool:
    return any({"shapes", "imagePath"} <= keys for keys in first_keys(tree))


def _is_plain(path: str, annotated: set[str]) -> bool:
    folder = posixpath.basename(posixpath.dirname(path))
    return folder in NORMAL_FOLDERS and posixpath.splitext(path)[0] not in annotated


def _load(tree: SourceTree, json_path: str, source: Source, options: ReadingOptions) -> Picture:
    file = parse(tree.read(json_path), json_path)
    path = json_path if source.is_embedded or source.path is None else source.path
    picture = load_image(tree, source, file, json_path, options)
    drawn = laid(picture, (file.height, file.width), lambda shape: combine(draw_all(file, shape, json_path), json_path))
    if drawn is None:
        raise DataError(
            f"{json_path}: was drawn on {file.width} x {file.height} pixels, but {path} has"
            f" {picture.shape[1]} x {picture.shape[0]}; annotate it again"
        )
    files = (path, json_path) if source.path is None else (source.path, json_path)
    return Picture(path, picture.pixels, drawn.masks, drawn.instances, files, (*source.notes, *drawn.notes))


def load_image(
    tree: SourceTree, source: Source, file: LabelmeFile, json_path: str, options: ReadingOptions = DEFAULT
) -> Decoded:
    """The picture that a file was drawn on.

    Raises:
        DataError: it is unreadable.
    """
    if source.is_embedded:
        name = f"{json_path}: imageData"
        return open_picture(_from_base64(file.image_data or "", name), json_path, options)
    assert source.path is not None, "a picture is embedded or has a path"
    return open_picture(tree.read(source.path), source.path, options)


def find_source(finder: PictureFinder, file: LabelmeFile, json_path: str, options: ReadingOptions = DEFAULT) -> Source:
    """Where the picture of a file is.

    Raises:
        DataError: there is none; or its names tell two, and the options do not say which one counts.
    """
    siblings = finder.siblings(json_path)
    named, is_exact, told = None, False, f"{json_path}: imagePath names no picture"
    if file.image_path:
        try:
            named, is_exact = finder.find(file.image_path, posixpath.dirname(json_path), f"{json_path}: imagePath")
        except DataError as err:
            told = str(err)
    is_embedded = bool(file.image_data)
    if named in siblings or (not siblings and named is not None):
        return Source(named, is_embedded, () if is_exact else (BY_NAME_NOTE,))
    if not siblings:
        if is_embedded:
            return Source(None, is_embedded)
        raise DataError(f"{told}; or copy the picture beside the file, under its name")
    if len(siblings) > 1:
        raise DataError(f"{json_path}: {siblings[0]} and {siblings[1]} both share its name; keep one of them")
    is_other = named is not None and (is_exact or posixpath.basename(named) != posixpath.basename(siblings[0]))
    if is_other and not is_embedded and options.picture_by is None:
        raise DataError(
            f"{json_path}: names {named}, but {siblings[0]} has its own name; give --picture-by imagePath for the"
            " first, --picture-by name for the second"
        )
    if is_other and options.picture_by == "imagePath":
        return Source(named, is_embedded, () if is_exact else (BY_NAME_NOTE,))
    return Source(siblings[0], is_embedded, () if is_embedded or not file.image_path else (SIBLING_NOTE,))


def parse(data: bytes, name: str) -> LabelmeFile:
    """Read a labelme file.

    Raises:
        DataError: not JSON, or without what labelme writes; begins with `name`.
    """
    return parse_json(LabelmeFile, data, name, "a labelme file")


def draw_all(file: LabelmeFile, shape: tuple[int, int], name: str) -> Iterator[tuple[str, object, NDArray[np.uint8]]]:
    """(label, identity of the instance, [H, W] mask {0, 1}) of every shape that is not skipped."""
    for kept in kept_shapes(file, name):
        yield kept.shape.label, kept.identity, draw(kept, shape)


def kept_shapes(file: LabelmeFile, name: str) -> Iterator[KeptShape]:
    """The shapes that are not skipped, in the order of the file, which messages call `name`."""
    for number, shape in enumerate(file.shapes):
        if shape.label not in SKIPPED_LABELS:
            identity = ("shape", number) if shape.group_id is None else ("group", shape.group_id)
            yield KeptShape(number, identity, f"{name}: shape {number} ({shape.label})", shape)


def draw(kept: KeptShape, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw one shape on a canvas of [H, W] -> uint8 {0, 1}; raises as `draw_shape` does."""
    kind = kept.shape.shape_type or "polygon"
    bitmap = None
    if kind == "mask":
        data = _from_base64(kept.shape.mask or "", kept.name)
        bitmap = (decode_picture(data, kept.name) > 0).astype(np.uint8)
    return draw_shape(kind, kept.shape.points, shape, kept.name, bitmap)


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error as err:
        raise DataError(f"{name}: not base64 ({err}); save the file in labelme again") from err
