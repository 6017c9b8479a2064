"""The MVTec-AD layout.

    train/good/*                    normal
    test/good/*                     normal
    test/<class>/x.png              anomalous
    ground_truth/<class>/x_mask.png its mask (x.png is taken as well)

The layout's own train and test parts are not kept: an import splits all pictures by group.
"""

from anomaly_gan.formats.reading.paired import paired
from anomaly_gan.formats.reading.pictures import is_picture, stem
from anomaly_gan.formats.reading.source import SourceItem, SourceTree, items_from
from infra.errors import DataError

NORMAL = "good"


def read(tree: SourceTree) -> list[SourceItem]:
    """Items of a tree in the MVTec-AD layout.

    Raises:
        DataError: the tree has no picture where the layout wants one.
    """
    images: list[tuple[str, str]] = []
    masks: dict[tuple[str, str], str] = {}
    for path in filter(is_picture, tree.paths()):
        match path.split("/"):
            case ["train" | "test" as part, label, _] if part == "test" or label == NORMAL:
                images.append((label, path))
            case ["ground_truth", label, _]:
                masks[label, stem(path).removesuffix("_mask")] = path
            case _ if ".." in path.split("/"):
                images.append((NORMAL, path))  # refused by name, in `items_from`
    if not images:
        raise DataError(f"{tree.url}: not in the MVTec-AD layout; expected train/good, test/<class>, ground_truth")
    return items_from(paired(tree, images, masks, normal=NORMAL))
