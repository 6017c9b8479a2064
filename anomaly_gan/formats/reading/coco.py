"""COCO instance annotations: polygons and run lengths, compressed or not.

Every JSON file of the tree is one annotation file. A picture is looked up beside the JSON, then below the
imported folder, then by the end of its path. A picture without annotation is normal. A crowd (`iscrowd: 1`)
is drawn like any other annotation, as one instance. Categories named as in SKIPPED_LABELS are left out.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from anomaly_gan.formats.reading.pictures import decode_picture, is_picture
from anomaly_gan.formats.reading.shapes import MAX_SIDES
from anomaly_gan.formats.reading.source import (
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
    items_from,
    refusal,
    resolve,
)
from infra.errors import DataError


class RunLengths(BaseModel):
    size: tuple[int, int]
    counts: str | list[int]


class Annotation(BaseModel):
    id: int | str
    image_id: int | str
    category_id: int
    segmentation: list[list[FiniteFloat]] | RunLengths = Field(default=[])
    bbox: list[float] | None = None


class Category(BaseModel):
    id: int
    name: str


class CocoImage(BaseModel):
    id: int | str
    file_name: str
    height: int | None = None
    width: int | None = None


class CocoFile(BaseModel):
    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


@dataclass(frozen=True)
class Entry:
    """One image of an annotation file, with what is drawn on it."""

    json_path: str
    image: CocoImage
    annotations: list[Annotation]
    labels: dict[int, str]


class KeptAnnotation(NamedTuple):
    """An annotation that means a class; messages call it `name`."""

    name: str
    label: str
    annotation: Annotation


def read(tree: SourceTree) -> list[SourceItem]:
    """One item per image that an annotation file lists.

    Raises:
        DataError: the tree has no JSON file, or one that is no COCO annotation file.
    """
    paths = tree.paths()
    pictures = index_pictures(paths)
    json_paths = [path for path in paths if path.endswith(".json")]
    if not json_paths:
        raise DataError(f"{tree.url}: holds no COCO annotation file (*.json)")
    loaders: dict[str, Callable[[], Picture]] = {}
    for json_path in json_paths:
        for entry in entries(parse(tree.read(json_path), json_path), json_path):
            try:
                path = picture_path(entry, pictures)
                loader: Callable[[], Picture] = partial(_load, tree, path, entry)
            except DataError as err:
                path, loader = f"{json_path}:{entry.image.file_name}".replace("..", "__"), refusal(str(err))
            if path in loaders:
                loader = refusal(f"{path}: is listed twice, again by {json_path}; list every picture once")
            loaders[path] = loader
    return items_from(loaders)


def index_pictures(paths: Iterable[str]) -> dict[str, list[str]]:
    """Last part of a path -> the paths of all such pictures."""
    pictures: dict[str, list[str]] = {}
    for path in filter(is_picture, paths):
        pictures.setdefault(posixpath.basename(path), []).append(path)
    return pictures


def parse(data: bytes, name: str) -> CocoFile:
    """Read an annotation file.

    Raises:
        DataError: not JSON, or not of COCO's form; begins with `name`.
    """
    try:
        return CocoFile.model_validate_json(data)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{name}: not a COCO annotation file: {where}: {first['msg']}; mend or remove it") from err


def entries(file: CocoFile, json_path: str) -> Iterator[Entry]:
    """The images of a file, each with its annotations.

    Raises:
        DataError: an annotation is of an image that is not listed.
    """
    labels = {category.id: category.name for category in file.categories}
    by_image: dict[int | str, list[Annotation]] = {image.id: [] for image in file.images}
    for annotation in file.annotations:
        if annotation.image_id not in by_image:
            raise DataError(f"{json_path}: annotation {annotation.id} is of an image that is not listed; mend it")
        by_image[annotation.image_id].append(annotation)
    for image in file.images:
        yield Entry(json_path, image, by_image[image.id], labels)


def picture_path(entry: Entry, pictures: dict[str, list[str]]) -> str:
    """Look a picture up.

    Args:
        entry: what names it.
        pictures: of `index_pictures`.

    Raises:
        DataError: the tree holds none, or several, or the name leads out of it.
    """
    name = entry.image.file_name
    places = [
        resolve(posixpath.dirname(entry.json_path), name, entry.json_path),
        posixpath.normpath(name.replace("\\", "/")),
    ]
    namesakes = pictures.get(posixpath.basename(places[1]), [])
    for place in places:
        if place in namesakes:
            return place
    endings = [path for path in namesakes if path.endswith(f"/{places[1]}")]
    if len(endings) != 1:
        found = "no picture of that name" if not endings else f"{len(endings)} pictures of that name"
        raise DataError(f"{entry.json_path}: names {name!r}, but the imported folder holds {found}; mend the path")
    return endings[0]


def _load(tree: SourceTree, path: str, entry: Entry) -> Picture:
    image = decode_picture(tree.read(path), path)
    height, width = image.shape[:2]
    if (entry.image.height or height, entry.image.width or width) != (height, width):
        raise DataError(
            f"{entry.json_path}: says that {path} has {entry.image.width} x {entry.image.height} pixels,"
            f" it has {width} x {height}; use the pictures that were annotated"
        )
    masks, instances = combine(_parts(entry, (height, width)), path)
    return Picture(path, image, masks, instances, (path, entry.json_path))


def _parts(entry: Entry, shape: tuple[int, int]) -> Iterator[tuple[str, object, NDArray[np.uint8]]]:
    for name, label, annotation in kept_annotations(entry):
        yield label, annotation.id, decode_segmentation(annotation.segmentation, shape, name)


def kept_annotations(entry: Entry) -> Iterator[KeptAnnotation]:
    """The annotations of an image that mean a class.

    Raises:
        DataError: a category is not listed.
    """
    for annotation in entry.annotations:
        name = f"{entry.json_path}: annotation {annotation.id}"
        label = entry.labels.get(annotation.category_id)
        if label is None:
            raise DataError(f"{name}: category {annotation.category_id} is not listed; mend the file")
        if label not in SKIPPED_LABELS:
            yield KeptAnnotation(name, label, annotation)


def decode_segmentation(
    segmentation: list[list[float]] | RunLengths, shape: tuple[int, int], name: str
) -> NDArray[np.uint8]:
    """Rasterise as COCO's own tools do.

    Args:
        segmentation: polygons [x1, y1, x2, y2, ...] or run lengths in column order.
        shape: [H, W] of the picture.
        name: how messages call the annotation.

    Returns:
        [H, W] uint8 {0, 1}.

    Raises:
        DataError: no segmentation (a box alone is no mask), a broken one, or one of another size.
    """
    height, width = shape
    runs: list[dict[str, Any]]
    try:
        if not isinstance(segmentation, RunLengths):
            _check_polygons(segmentation, shape, name)
            runs = coco_mask.frPyObjects(segmentation, height, width)
        elif segmentation.size != shape:
            size = f"{segmentation.size[1]} x {segmentation.size[0]}"
            raise DataError(f"{name}: its mask has {size} pixels, its picture {width} x {height}; make them equal")
        elif isinstance(segmentation.counts, str):
            runs = [{"size": list(shape), "counts": segmentation.counts.encode()}]
        else:
            runs = [coco_mask.frPyObjects(segmentation.model_dump(), height, width)]
        return np.asarray(coco_mask.decode(coco_mask.merge(runs)), np.uint8)
    except (ValueError, RuntimeError, TypeError, UnicodeError) as err:
        raise DataError(f"{name}: broken segmentation ({err}); export it again") from err


def _check_polygons(polygons: list[list[float]], shape: tuple[int, int], name: str) -> None:
    if not polygons:
        raise DataError(f"{name}: has no segmentation, and a box alone is no mask; draw it")
    limit = MAX_SIDES * max(shape)  # the rasteriser's memory grows with the length of the outline
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or max(map(abs, polygon)) > limit:
            raise DataError(f"{name}: a polygon needs at least 3 points near its picture; draw it again")
