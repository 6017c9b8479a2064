"""labelme's JSON files, one per picture, drawn exactly as labelme draws them.

A picture is what `imageData` embeds, else the file that `imagePath` names (relative to the JSON), else the
picture beside the JSON that shares its name. A JSON without shapes is a normal picture, and so is a picture
without JSON in a folder named `normal` or `good`. Shapes labelled `__ignore__` or `_background_` are skipped.
Shapes of one label and `group_id` are one instance; every other shape is an instance of its own.
"""

import base64
import binascii
import posixpath
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from anomaly_gan.formats.reading.paired import load as load_plain
from anomaly_gan.formats.reading.pictures import SUFFIXES, decode_picture, is_picture
from anomaly_gan.formats.reading.shapes import draw_shape
from anomaly_gan.formats.reading.source import (
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
    items_from,
    resolve,
)
from infra.errors import DataError

NORMAL_FOLDERS = ("normal", "good")


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


def read(tree: SourceTree) -> list[SourceItem]:
    """One item per JSON file, and one per picture of a folder named `normal` or `good`.

    Raises:
        DataError: the tree has no JSON file.
    """
    paths = frozenset(tree.paths())
    annotated = {posixpath.splitext(path)[0] for path in paths if path.endswith(".json")}
    if not annotated:
        raise DataError(f"{tree.url}: holds no labelme file (*.json)")
    loaders: dict[str, Callable[[], Picture]] = {}
    for path in paths:
        if path.endswith(".json"):
            loaders[path] = partial(_load, tree, paths, path)
        elif is_picture(path) and _is_plain(path, annotated):
            loaders[path] = partial(load_plain, tree, path, "", None)
    return items_from(loaders)


def _is_plain(path: str, annotated: set[str]) -> bool:
    folder = posixpath.basename(posixpath.dirname(path))
    return folder in NORMAL_FOLDERS and posixpath.splitext(path)[0] not in annotated


def _load(tree: SourceTree, paths: frozenset[str], json_path: str) -> Picture:
    file = parse(tree.read(json_path), json_path)
    path, image = load_image(tree, paths, file, json_path)
    stated = (file.height or image.shape[0], file.width or image.shape[1])
    if stated != image.shape[:2]:
        raise DataError(
            f"{json_path}: was drawn on {stated[1]} x {stated[0]} pixels, but {path} has"
            f" {image.shape[1]} x {image.shape[0]}; annotate it again (an EXIF rotation is one cause)"
        )
    masks, instances = combine(draw_all(file, image.shape[:2], json_path), json_path)
    return Picture(path, image, masks, instances, (path, json_path))


def load_image(
    tree: SourceTree, paths: frozenset[str], file: LabelmeFile, json_path: str
) -> tuple[str, NDArray[np.uint8]]:
    """The picture that a file was drawn on: its path (the file's own where embedded) and its pixels.

    Raises:
        DataError: there is none, or it is unreadable.
    """
    if file.image_data:
        path, data = json_path, _from_base64(file.image_data, f"{json_path}: imageData")
    else:
        path = _picture_path(file, paths, json_path)
        data = tree.read(path)
    return path, decode_picture(data, path)


def parse(data: bytes, name: str) -> LabelmeFile:
    """Read a labelme file.

    Raises:
        DataError: not JSON, or without what labelme writes; begins with `name`.
    """
    try:
        return LabelmeFile.model_validate_json(data)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{name}: not a labelme file: {where}: {first['msg']}; mend or remove it") from err


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


def _picture_path(file: LabelmeFile, paths: frozenset[str], json_path: str) -> str:
    if file.image_path:
        named = resolve(posixpath.dirname(json_path), file.image_path, json_path)
        if named in paths and is_picture(named):
            return named
    base = posixpath.splitext(json_path)[0]
    siblings = sorted(path for path in paths if posixpath.splitext(path)[0] == base and path.lower().endswith(SUFFIXES))
    if not siblings:
        raise DataError(
            f"{json_path}: imagePath {file.image_path!r} names no picture of the imported folder and no"
            f" picture lies beside the file; copy it there"
        )
    return siblings[0]


def _from_base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error as err:
        raise DataError(f"{name}: not base64 ({err}); save the file in labelme again") from err
