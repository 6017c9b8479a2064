"""YOLO segmentation: a text file for each picture, a line for each anomaly, drawn as Ultralytics draws them.

    data.yaml or classes.txt       the names of the classes
    images/train/x.png             the picture
    labels/train/x.txt             its anomalies: the class's number, then x and y of each point as shares of the sides

A picture whose file is empty is normal, and so is one without a file in a folder named `normal` or `good`. Shares are
of the picture as it is shown.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from anomaly_gan.formats.reading.frames import notes_of
from anomaly_gan.formats.reading.json_files import text_of
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.paired import load as load_plain
from anomaly_gan.formats.reading.pictures import is_picture, open_picture
from anomaly_gan.formats.reading.source import (
    NORMAL_FOLDERS,
    Picture,
    SourceItem,
    SourceTree,
    combine,
    items_from,
    refusal,
)
from infra.errors import DataError

SLACK = 0.01
"""How far beyond the border a point may lie, as a share of the side; programs round."""
LONGEST_NAMES = 1 << 20


def fits(tree: SourceTree) -> bool:
    return any(re.search(r"(^|/)labels/(.+/)?[^/]+\.txt$", path) for path in tree.paths())


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """One item per picture that has a file, or lies in a folder of normal ones.

    Raises:
        DataError: the tree has no such file, or none that names the classes.
    """
    paths = tree.paths()
    pictures: dict[str, list[str]] = {}
    for path in filter(is_picture, paths):
        pictures.setdefault(_label_path(path), []).append(path)
    texts = {path for path in paths if path.endswith(".txt") and "labels" in path.split("/")[:-1]}
    if not texts:
        raise DataError(f"{tree.url}: holds no YOLO file (labels/*.txt)")
    names = _class_names(tree)
    loaders: dict[str, Callable[[], Picture]] = {}
    for text in texts:
        match pictures.get(text, []):
            case [path]:
                loaders[path] = partial(_load, tree, path, text, names, options)
            case []:
                loaders[text] = refusal(f"{text}: has no picture below images/; copy it there or remove the file")
            case [path, other, *_]:
                loaders[text] = refusal(f"{text}: may be of {path} and of {other}; keep one of them")
    for text, [path, *_] in pictures.items():
        if text not in texts and posixpath.basename(posixpath.dirname(path)) in NORMAL_FOLDERS:
            loaders[path] = partial(load_plain, tree, path, "", (), options)
    return items_from(loaders)


def _label_path(path: str) -> str:
    """Where the anomalies of a picture stand: the last `images` of its path becomes `labels`."""
    parts = posixpath.splitext(path)[0].split("/")
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "images":
            return "/".join([*parts[:place], "labels", *parts[place + 1 :]]) + ".txt"
    return "/".join(parts) + ".txt"


def _class_names(tree: SourceTree) -> list[str]:
    paths = tree.paths()
    for path in ("data.yaml", "data.yml", "dataset.yaml"):
        if path in paths:
            return _names_of_yaml(text_of(tree.read(path), path), path)
    for path in ("classes.txt", "labels/classes.txt", "obj.names"):
        if path in paths:
            return [line.strip() for line in text_of(tree.read(path), path).splitlines() if line.strip()]
    raise DataError(f"{tree.url}: has no data.yaml and no classes.txt, which name the classes; add one of them")


def _names_of_yaml(text: str, name: str) -> list[str]:
    try:
        has_aliases = len(text) > LONGEST_NAMES or any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        content = None if has_aliases else yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as err:
        raise DataError(f"{name}: not valid YAML ({' '.join(str(err).split())[:200]}); mend it") from err
    names = content["names"] if isinstance(content, dict) and "names" in content else 0
    if names is None:  # as written where no picture shows an anomaly
        return []
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(label, str) for label in names):
        raise DataError(f"{name}: has no list `names` of the classes; add it")
    return names


def _load(tree: SourceTree, path: str, text_path: str, names: Sequence[str], options: ReadingOptions) -> Picture:
    picture = open_picture(tree.read(path), path, options)
    lines = text_of(tree.read(text_path), text_path).splitlines()
    masks, instances = combine(_parts(lines, text_path, names, picture.shape, options), text_path)
    return Picture(path, picture.pixels, masks, instances, (path, text_path), notes_of(picture))


def _parts(
    lines: Sequence[str], name: str, names: Sequence[str], shape: tuple[int, int], options: ReadingOptions
) -> Iterator[tuple[str, object, NDArray[np.uint8]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}: line {number}"
        words = line.split()
        if not words[0].isdecimal() or int(words[0][:9]) >= len(names):
            raise DataError(f"{where}: class {words[0][:20]} is not among the {len(names)} that are named; mend it")
        yield names[int(words[0])], number, _draw(_shares(words[1:], where, options), shape)


def _shares(words: Sequence[str], where: str, options: ReadingOptions) -> NDArray[np.float64]:
    """[n, 2] points as shares of the sides, in [0, 1]."""
    try:
        values = np.array([float(word) for word in words])
    except ValueError as err:
        raise DataError(f"{where}: holds what is no number; export it again") from err
    if not (values >= -SLACK).all() or not (values <= 1 + SLACK).all():
        raise DataError(f"{where}: points are shares of the sides from 0 to 1; export it again")
    if len(values) == 4:
        if not options.boxes_as_masks:
            raise DataError(f"{where}: is a box, and a box alone is no mask; draw it, or give --boxes-as-masks")
        centre, half = values[:2], values[2:] / 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        return np.asarray(np.clip(centre + corners * half, 0, 1))
    if len(values) < 6 or len(values) % 2:
        raise DataError(f"{where}: a polygon needs at least 3 points; draw it again")
    return np.asarray(np.clip(values.reshape(-1, 2), 0, 1))


def _draw(shares: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, np.uint8)
    points = (shares * (shape[1], shape[0])).astype(np.int32)
    cv2.fillPoly(canvas, [points], (1,))
    return canvas
