"""The list of formats that an annotated folder may have; each is imported only when it is read."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeAlias

from anomaly_gan.lists import find
from infra.errors import DataError

if TYPE_CHECKING:
    from anomaly_gan.formats.reading.options import ReadingOptions
    from anomaly_gan.formats.reading.source import SourceItem, SourceTree

Reader: TypeAlias = "Callable[[SourceTree, ReadingOptions], list[SourceItem]]"
"""Lists the items of a tree; raises DataError only where the whole tree is not of the reader's layout."""

READERS: dict[str, str] = {
    "mvtec": "anomaly_gan.formats.reading.mvtec:read",
    "labelme": "anomaly_gan.formats.reading.labelme:read",
    "coco": "anomaly_gan.formats.reading.coco:read",
    "folder": "anomaly_gan.formats.reading.folder:read",
    "yolo": "anomaly_gan.formats.reading.yolo:read",
    "voc": "anomaly_gan.formats.reading.voc:read",
    "cvat": "anomaly_gan.formats.reading.cvat:read",
}
"""Name -> "module:function", a `Reader`; a command lists the names without importing one.

The module may have a function `fits(tree)` that says whether a tree is of the format.
"""

AUTO = "auto"
"""In place of a name: the format that fits."""


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises:
        UsageError: there is no such format.
    """
    read: Reader = resolve_name(find(READERS, name, "--format: unknown format"))
    return read


def fitting(tree: "SourceTree") -> list[str]:
    """The formats that a tree is of, by the names and the beginnings of its files."""
    modules = {name: import_module(place.partition(":")[0]) for name, place in READERS.items()}
    return [name for name, module in modules.items() if hasattr(module, "fits") and module.fits(tree)]


def read_items(name: str, tree: "SourceTree", options: "ReadingOptions") -> "list[SourceItem]":
    """The items of a tree in the format `name`, or in the one that fits where that is AUTO.

    Raises:
        UsageError: there is no such format.
        DataError: the tree is not of the format, which tells the one that fits; or none fits, or several do.
    """
    if name == AUTO:
        found = fitting(tree)
        if len(found) != 1:
            known = f"{', '.join(found)} fit" if found else f"no format fits, known are {', '.join(READERS)}"
            raise DataError(f"{tree.url}: {known}; give the one that is meant with --format")
        name = found[0]
    read = reader(name)
    try:
        return read(tree, options)
    except DataError as err:
        raise DataError(f"{err}{hint(name, tree)}") from err


def hint(name: str, tree: "SourceTree") -> str:
    """The end of a sentence: which format fits a tree that cannot be read as `name`; empty where none does."""
    others = [other for other in fitting(tree) if other != name] if name != AUTO else []
    return f"; --format {' or '.join(others)} fits" if others else ""
