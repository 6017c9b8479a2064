"""COCO instance annotations: polygons and run lengths, compressed or not.

Every JSON file of the tree is one annotation file. A picture is looked up beside the JSON, then below the
imported folder, then by the end of its path. A picture without annotation is normal. A crowd (`iscrowd: 1`)
is drawn like any other annotation, as one instance. Categories named as in SKIPPED_LABELS are left out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, FiniteFloat, ValidationError

from anomaly_gan.formats.reading.finding import Found
from anomaly_gan.formats.reading.json_files import first_keys, is_json, keys_of, parse_json
from anomaly_gan.formats.reading.listed import Listed, load_drawn
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.shapes import MAX_SIDES
from anomaly_gan.formats.reading.source import (
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
)
from infra.errors import DataError


def _identity(value: object) -> object:
    """7, 7.0 and "7" are one id: programs write them as numbers and as text, even within a file."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _polygons(value: object) -> object:
    """Nothing at all is no polygon, and a flat list of numbers is one."""
    if value is None:
        return []
    is_flat = isinstance(value, list) and value and all(isinstance(number, int | float) for number in value)
    return [value] if is_flat else value


Id = Annotated[str, BeforeValidator(_identity)]


class RunLengths(BaseModel):
    size: tuple[int, int]
    counts: str | list[int]


class Annotation(BaseModel):
    id: Id
    image_id: Id
    category_id: Id
    segmentation: Annotated[list[list[FiniteFloat]] | RunLengths, BeforeValidator(_polygons)] = Field(default=[])
    bbox: list[float] | None = None


class Category(BaseModel):
    id: Id
    name: str


class CocoImage(BaseModel):
    id: Id
    file_name: str
    height: int | None = None
    width: int | None = None


class ImageId(BaseModel):
    """All that an annotation needs so that its picture is known."""

    image_id: Id


class CocoFile(BaseModel):
    """An annotation file; its annotations are checked one by one, so that an odd one costs its own picture only."""

    images: list[CocoImage]
    annotations: list[Any]
    categories: list[Category]


@dataclass(frozen=True)
class Entry:
    """One image of an annotation file, with what is drawn on it.

    Attributes:
        problems: what is wrong with its annotations, one sentence each.
    """

    json_path: str
    image: CocoImage
    labels: dict[str, str]
    annotations: list[Annotation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class KeptAnnotation(NamedTuple):
    """An annotation that means a class; messages call it `name`."""

    name: str
    label: str
    annotation: Annotation


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """One item per image that an annotation file lists.

    Raises:
        DataError: the tree has no JSON file, or one that is no COCO annotation file.
    """
    paths = tree.paths()
    json_paths = [path for path in paths if is_json(path)]
    if not json_paths:
        raise DataError(f"{tree.url}: holds no COCO annotation file (*.json)")
    listed = Listed(paths)
    for json_path, file in _coco_files(tree, json_paths):
        for entry in entries(file, json_path):
            listed.add(entry.image.file_name, json_path, partial(_load, tree, entry, options))
    return listed.items()


def _coco_files(tree: SourceTree, json_paths: list[str]) -> list[tuple[str, CocoFile]]:
    """Those of the JSON files that are meant as COCO's; others are left out where there is one of these."""
    files, refused = [], []
    for path in json_paths:
        data = tree.read(path)
        try:
            files.append((path, parse(data, path)))
        except DataError as err:
            if is_coco(data, path):
                raise
            refused.append(err)
    if not files:
        raise refused[0]
    return files


def is_coco(data: bytes, name: str) -> bool:
    """Does a file say that it lists images or annotations, whatever else is wrong with it?"""
    return not {"images", "annotations"}.isdisjoint(keys_of(data, name))


def fits(tree: SourceTree) -> bool:
    return any({"images", "annotations"} <= keys for keys in first_keys(tree))


def parse(data: bytes, name: str) -> CocoFile:
    """Read an annotation file.

    Raises:
        DataError: not JSON, or not of COCO's form; begins with `name`.
    """
    return parse_json(CocoFile, data, name, "a COCO annotation file")


def entries(file: CocoFile, json_path: str) -> list[Entry]:
    """The images of a file, each with its annotations.

    Raises:
        DataError: an image or a category id stands twice, or an annotation is of no image that is listed.
    """
    _refuse_twice([(image.id, image.file_name) for image in file.images], f"{json_path}: image id")
    _refuse_twice([(category.id, category.name) for category in file.categories], f"{json_path}: category id")
    labels = {category.id: category.name for category in file.categories}
    by_image = {image.id: Entry(json_path, image, labels) for image in file.images}
    places: dict[str, list[tuple[int, Entry]]] = {}
    for place, content in enumerate(file.annotations):
        entry, annotation = _annotation(content, by_image, f"{json_path}: annotation in place {place}")
        if annotation is not None:
            entry.annotations.append(annotation)
            places.setdefault(annotation.id, []).append((place, entry))
    for identity, found in places.items():
        if len(found) > 1:
            where = " and ".join(f"in place {place} (of {entry.image.file_name})" for place, entry in found[:2])
            for _, entry in found:
                entry.problems.append(
                    f"{json_path}: annotation {identity}: stands twice, {where}; give each an id of its own"
                )
    return list(by_image.values())


def _annotation(content: object, by_image: dict[str, Entry], name: str) -> tuple[Entry, Annotation | None]:
    """The image of an annotation, and the annotation; None where it is broken, which the image then tells."""
    try:
        image_id = ImageId.model_validate(content).image_id
    except ValidationError as err:
        raise DataError(f"{name}: has no image_id that can be read; mend or remove it") from err
    if image_id not in by_image:
        raise DataError(f"{name}: is of image {image_id}, which is not listed; mend it")
    try:
        return by_image[image_id], Annotation.model_validate(content)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        by_image[image_id].problems.append(f"{name}: {where}: {first['msg']}; mend or remove it")
        return by_image[image_id], None


def _refuse_twice(ids: list[tuple[str, str]], name: str) -> None:
    uses = Counter(identity for identity, _ in ids)
    for identity, _ in ids:
        if uses[identity] > 1:
            whose = " and ".join(repr(owner) for other, owner in ids if other == identity)
            raise DataError(f"{name} {identity} stands twice, for {whose}; give each an id of its own")


def _load(tree: SourceTree, entry: Entry, options: ReadingOptions, found: Found) -> Picture:
    stated = entry.image.height, entry.image.width
    return load_drawn(
        tree,
        found,
        entry.json_path,
        stated,
        lambda shape: combine(_parts(entry, shape, options), found.path),
        options,
    )


def _parts(
    entry: Entry, shape: tuple[int, int], options: ReadingOptions
) -> Iterator[tuple[str, object, NDArray[np.uint8]]]:
    for name, label, annotation in kept_annotations(entry):
        yield label, annotation.id, decode_segmentation(_drawn(annotation, name, options), shape, name)


def _drawn(annotation: Annotation, name: str, options: ReadingOptions) -> list[list[float]] | RunLengths:
    """The segmentation; where there is none and boxes count as masks, the box as a polygon."""
    if annotation.segmentation or not options.boxes_as_masks:
        return annotation.segmentation
    if annotation.bbox is None or len(annotation.bbox) != 4 or min(annotation.bbox[2:]) <= 0:
        raise DataError(f"{name}: has neither a segmentation nor a box of four numbers; draw it")
    left, top, width, height = annotation.bbox
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def kept_annotations(entry: Entry) -> Iterator[KeptAnnotation]:
    """The annotations of an image that mean a class.

    Raises:
        DataError: an annotation is broken or shares its id, or its category is not listed.
    """
    if entry.problems:
        raise DataError(entry.problems[0])
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
        raise DataError(f"{name}: has no segmentation, and a box alone is no mask; draw it, or give --boxes-as-masks")
    limit = MAX_SIDES * max(shape)  # the rasteriser's memory grows with the length of the outline
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or max(map(abs, polygon)) > limit:
            raise DataError(f"{name}: a polygon needs at least 3 points near its picture; draw it again")
