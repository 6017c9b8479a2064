"""The list of formats that samples can be exported to; each is imported only when it is written."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from anomaly_gan.lists import find

if TYPE_CHECKING:
    from anomaly_gan.formats.writing.exporter import Exporter

EXPORTERS: dict[str, str] = {
    "coco": "anomaly_gan.formats.writing.coco:CocoExporter",
    "yolo": "anomaly_gan.formats.writing.yolo:YoloExporter",
    "mvtec": "anomaly_gan.formats.writing.mvtec:MvtecExporter",
    "labelme": "anomaly_gan.formats.writing.labelme:LabelmeExporter",
}
"""Name -> "module:class", an `Exporter`; a command lists the names without importing one."""


def exporter(name: str) -> "type[Exporter]":
    """The exporter of a format.

    Raises:
        UsageError: there is no such format.
    """
    found: type[Exporter] = resolve_name(find(EXPORTERS, name, "--format: unknown format"))
    return found
