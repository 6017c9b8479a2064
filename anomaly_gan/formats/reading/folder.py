"""Our own, simplest layout.

normal/*             normal
<class>/x.png        anomalous
<class>/masks/x.png  its mask: the same name, any picture format
"""

import re

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.paired import Key, paired
from anomaly_gan.formats.reading.pictures import is_picture, stem
from anomaly_gan.formats.reading.source import SourceItem, SourceTree, items_from
from infra.errors import DataError

NORMAL = "normal"


def fits(tree: SourceTree) -> bool:
    return any(re.match(r"[^/]+/masks/[^/]+$", path) for path in tree.paths())


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """Items of a tree in the folder layout.

    Raises:
        DataError: the tree has no picture where the layout wants one.
    """
    images: list[tuple[str, str]] = []
    masks: list[tuple[Key, str]] = []
    for path in filter(is_picture, tree.paths()):
        match path.split("/"):
            case [label, "masks", _]:
                masks.append(((label, stem(path)), path))
            case [label, _]:
                images.append((label, path))
            case _ if ".." in path.split("/"):
                images.append((NORMAL, path))  # refused by name, in `items_from`
    if not images:
        raise DataError(f"{tree.url}: not in the folder layout; expected normal/*, <class>/*, <class>/masks/*")
    return items_from(paired(tree, images, masks, options, normal=NORMAL))
