"""The MVTec-AD layout, and those of MVTec LOCO AD and MVTec AD 2.

    train/good/*                     normal; validation/good and test/good as well
    test/<class>/x.png               anomalous
    ground_truth/<class>/x_mask.png  its mask (x.png is taken as well)
    ground_truth/<class>/x/*.png     its masks, one for each anomaly (LOCO)
    test_public/<class>/x.png        anomalous (AD 2), with masks below test_public/ground_truth/<class>

The layout's own parts are not kept: an import splits all pictures by group. Pictures of AD 2's private test parts have
no annotation and belong to no item.
"""

import re

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.paired import Key, paired
from anomaly_gan.formats.reading.pictures import is_picture, stem
from anomaly_gan.formats.reading.source import SourceItem, SourceTree, items_from
from infra.errors import DataError

NORMAL = "good"


def fits(tree: SourceTree) -> bool:
    return any(re.match(r"(test_public/)?ground_truth/[^/]+/", path) for path in tree.paths())


def read(tree: SourceTree, options: ReadingOptions = DEFAULT) -> list[SourceItem]:
    """Items of a tree in one of these layouts.

    Raises:
        DataError: the tree has no picture where the layout wants one.
    """
    images: list[tuple[str, str]] = []
    masks: list[tuple[Key, str]] = []
    parts: list[tuple[Key, str]] = []
    for path in filter(is_picture, tree.paths()):
        match path.split("/"):
            case ["test" | "test_public", label, _] if label != "ground_truth":
                images.append((label, path))
            case ["train" | "validation", "good", _]:
                images.append((NORMAL, path))
            case ["ground_truth", label, _] | ["test_public", "ground_truth", label, _]:
                masks.append(((label, stem(path).removesuffix("_mask")), path))
            case ["ground_truth", label, name, _]:
                parts.append(((label, name), path))
            case _ if ".." in path.split("/"):
                images.append((NORMAL, path))  # refused by name, in `items_from`
    if not images:
        raise DataError(f"{tree.url}: not in the MVTec-AD layout; expected train/good, test/<class>, ground_truth")
    return items_from(paired(tree, images, masks, options, normal=NORMAL, parts=parts))
