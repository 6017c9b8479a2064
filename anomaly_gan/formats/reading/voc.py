"""Pascal VOC with segmentation, as CVAT and labelme2voc write it.

    JPEGImages/x.jpg               the picture
    SegmentationClass/x.png        colours or numbers, each a class; black is nothing, 255 a void
    SegmentationObject/x.png       numbers, each an anomaly; may be missing
    labelmap.txt                   lines of `class:R,G,B::`, or class_names.txt: a name for each number

A picture whose mask shows no class is normal, and so is one without a mask in a folder named `normal` or `good`.
`--mask-colour` replaces the table.
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.json_files import text_of
from anomaly_gan.formats.reading.mask_colours import MaskColour, parse_mask_colour
from anomaly_gan.formats.reading.mask_pictures import decode_masks, decode_numbers
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.paired import load as load_plain
from anomaly_gan.formats.reading.pictures import is_picture, open_picture
from anomaly_gan.formats.reading.source import (
    NORMAL_FOLDERS,
    SKIPPED_LABELS,
    Picture,
    SourceItem,
    SourceTree,
    items_from,
    refusal,
)
from infra.errors import DataError, UsageError

IMAGES, CLASSES, OBJECTS = "JPEGImages", "SegmentationClass", "SegmentationObject"
VOID = (MaskColour((224, 224, 192), SKIPPED_LABELS[0]), MaskColour((255,), SKIPPED_LABELS[0]))
"""The border that VOC draws around objects, as a colour and as a number."""
BACKGROUND = ("background", *SKIPPED_LABELS)


def fits(tree: SourceTree) -> bool:
    return any(CLASSES in path.split("/")[:-1] for path in tree.paths())


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """One item per picture that has a mask, or lies in a folder of normal ones.

    Raises:
        DataError: the tree has no mask, or no table of what its colours mean.
    """
    by_folder: dict[str, dict[str, list[str]]] = {IMAGES: {}, CLASSES: {}, OBJECTS: {}}
    plain = []
    for path in filter(is_picture, tree.paths()):
        folders = posixpath.dirname(path).split("/")
        for folder in set(by_folder).intersection(folders):
            stem = posixpath.splitext(path)[0].replace(folder, "", 1)
            by_folder[folder].setdefault(stem, []).append(path)
        if folders[-1] in NORMAL_FOLDERS:
            plain.append(path)
    masks = by_folder[CLASSES]
    if not masks:
        raise DataError(f"{tree.url}: holds no mask of VOC ({CLASSES}/*.png)")
    colours = options.mask_colours or _table(tree)
    reading = replace(options, mask_colours=(*colours, *(one for one in VOID if _is_new(one, colours))))
    loaders: dict[str, Callable[[], Picture]] = {}
    for stem, [mask, *others] in masks.items():
        pictures = by_folder[IMAGES].get(stem, [])
        if len(pictures) != 1 or others:
            told = (
                f"has {len(pictures)} pictures of its name in {IMAGES}" if not others else f"{others[0]} has its name"
            )
            loaders[mask] = refusal(f"{mask}: {told}; keep one of each")
        else:
            objects = by_folder[OBJECTS].get(stem, [])
            loaders[pictures[0]] = partial(_load, tree, pictures[0], mask, objects, reading)
    for path in plain:
        loaders.setdefault(path, partial(load_plain, tree, path, "", (), options))
    return items_from(loaders)


def _is_new(entry: MaskColour, colours: Sequence[MaskColour]) -> bool:
    return all(entry.colour != other.colour for other in colours)


def _table(tree: SourceTree) -> tuple[MaskColour, ...]:
    """What colours and numbers mean.

    Raises:
        DataError: no file says so, or a line of it cannot be read.
    """
    paths = {posixpath.basename(path): path for path in reversed(tree.paths())}
    if "labelmap.txt" in paths:
        return _colours_of_cvat(text_of(tree.read(paths["labelmap.txt"]), "labelmap.txt"), "labelmap.txt")
    if "class_names.txt" in paths:
        lines = text_of(tree.read(paths["class_names.txt"]), "class_names.txt").splitlines()
        return tuple(MaskColour((number,), _meant(label)) for number, label in enumerate(lines))
    raise DataError(
        f"{tree.url}: has no labelmap.txt and no class_names.txt; say what colours mean with --mask-colour COLOUR=CLASS"
    )


def _colours_of_cvat(text: str, name: str) -> tuple[MaskColour, ...]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        label, _, rest = line.partition(":")
        try:
            found.append(replace(parse_mask_colour(rest.partition(":")[0]), label=_meant(label)))
        except UsageError as err:
            raise DataError(f"{name}: line {number}: no line of `class:R,G,B::`; mend it") from err
    return tuple(found)


def _meant(label: str) -> str:
    return SKIPPED_LABELS[1] if re.fullmatch("|".join(BACKGROUND), label, re.IGNORECASE) else label


def _load(tree: SourceTree, path: str, mask_path: str, objects: Sequence[str], options: ReadingOptions) -> Picture:
    picture = open_picture(tree.read(path), path, options)
    masks, notes = decode_masks(tree.read(mask_path), mask_path, picture, "", options, may_be_empty=True)
    instances: dict[str, NDArray[np.uint16]] = {}
    for object_path in objects:
        numbers = decode_numbers(tree.read(object_path), object_path, picture, options)
        instances = {
            label: np.where(mask > 0, _renumbered(numbers, mask), 0).astype(np.uint16) for label, mask in masks.items()
        }
    return Picture(path, picture.pixels, masks, instances, (path, mask_path, *objects), notes)


def _renumbered(numbers: NDArray[np.integer], mask: NDArray[np.uint8]) -> NDArray[np.integer]:
    """The numbers of the objects below a mask -> 1, 2, …; what has none is one object more."""
    found, places = np.unique(np.append(numbers * mask, 0), return_inverse=True)  # with a 0, so that it is the first
    ranks = places[:-1].reshape(mask.shape)
    return np.where(ranks == 0, len(found), ranks)
