"""The list of formats that an annotated folder may have."""

from anomaly_gan.formats.reading import coco, folder, labelme, mvtec
from anomaly_gan.formats.reading.source import Reader
from infra.errors import UsageError

READERS: dict[str, Reader] = {
    "mvtec": mvtec.read,
    "labelme": labelme.read,
    "coco": coco.read,
    "folder": folder.read,
}


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises:
        UsageError: there is no such format.
    """
    if name not in READERS:
        raise UsageError(f"--format: unknown format, got {name!r}; use one of {', '.join(READERS)}")
    return READERS[name]
