"""The list of formats that an annotated folder may have; each is imported only when it is read."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeAlias

from anomaly_gan.lists import find

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
}
"""Name -> "module:function", a `Reader`; a command lists the names without importing one."""


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises:
        UsageError: there is no such format.
    """
    read: Reader = resolve_name(find(READERS, name, "--format: unknown format"))
    return read
