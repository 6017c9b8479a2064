"""The list of formats that an annotated folder may have; each is imported only when it is read."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from anomaly_gan.lists import find

if TYPE_CHECKING:
    from anomaly_gan.formats.reading.source import Reader

READERS: dict[str, str] = {
    "mvtec": "anomaly_gan.formats.reading.mvtec:read",
    "labelme": "anomaly_gan.formats.reading.labelme:read",
    "coco": "anomaly_gan.formats.reading.coco:read",
    "folder": "anomaly_gan.formats.reading.folder:read",
}
"""Name -> "module:function", a `Reader`; a command lists the names without importing one."""


def reader(name: str) -> "Reader":
    """The reader of a format.

    Raises:
        UsageError: there is no such format.
    """
    read: Reader = resolve_name(find(READERS, name, "--format: unknown format"))
    return read
