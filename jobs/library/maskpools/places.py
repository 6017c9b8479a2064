"""Where anomalies may go in the pictures of a data set: regions and anchors, read from what a user names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from anomaly_gan.formats.reading.pictures import is_picture
from anomaly_gan.masks.drawn.anchors import match_anchors, read_anchors, read_anchors_csv
from anomaly_gan.masks.drawn.regions import match_regions, read_region
from anomaly_gan.masks.pool.pool import Box, Mask
from anomaly_gan.samples.index import DatasetIndex
from anomaly_gan.samples.resizing import stretch_nearest
from infra.errors import DataError
from infra.settings import Settings
from infra.storage.sources import FsspecTree, read_file

Pictures = Mapping[str, tuple[str, int, int]]
"""Sample key -> path in the imported folder, width and height in the data set."""


@dataclass(frozen=True)
class Places:
    """What is known of where anomalies may go.

    Attributes:
        region: [H, W] {0, 1}, 1 = allowed, for every picture; of the data set's size, or of any where that is native.
        regions: sample key -> the same for one picture, at its size.
        anchors: (sample key, class) -> boxes in px of the picture.
    """

    region: Mask | None = None
    regions: dict[str, Mask] = field(default_factory=dict)
    anchors: dict[tuple[str, str], list[Box]] = field(default_factory=dict)


def read_places(
    dataset: DatasetIndex, allowed: str | None, forbidden: str | None, anchors: str | None, settings: Settings
) -> Places:
    """Read regions and anchors; see `jobs.library.maskpools.build.PoolSources`.

    Raises:
        NotFoundError: nothing is at a path.
        DataError: a bad picture, table or annotation, one of no picture of the data set, or nothing left allowed.
    """
    pictures = {entry.key: (entry.source, entry.width, entry.height) for entry in dataset.samples}
    region = _region_of_all(allowed, forbidden, dataset, settings)
    regions = _regions_of_each(allowed, forbidden, region, pictures, settings)
    return Places(region, regions, _anchors(anchors, dataset, pictures, settings))


def _region_of_all(
    allowed: str | None, forbidden: str | None, dataset: DatasetIndex, settings: Settings
) -> Mask | None:
    """The region of every picture: allowed and not forbidden; None where neither is given as one picture."""
    region: Mask | None = None
    for path, is_allowed in ((allowed, True), (forbidden, False)):
        if path is None or not is_picture(path):
            continue
        drawn = read_region(read_file(path, settings), path)
        if dataset.resolution is not None:
            drawn = stretch_nearest(drawn, (dataset.resolution, dataset.resolution))
        drawn = drawn if is_allowed else 1 - drawn
        region = drawn if region is None else region & stretch_nearest(drawn, (region.shape[0], region.shape[1]))
        if not region.any():
            raise DataError(f"{path}: leaves no pixel allowed; draw a larger region")
    return region


def _regions_of_each(
    allowed: str | None, forbidden: str | None, base: Mask | None, pictures: Pictures, settings: Settings
) -> dict[str, Mask]:
    """The regions of single pictures that a folder holds, each within the region of all pictures."""
    regions: dict[str, Mask] = {}
    for path, is_allowed in ((allowed, True), (forbidden, False)):
        if path is None or is_picture(path):
            continue
        for key, drawn in match_regions(FsspecTree(path, settings), pictures).items():
            _, width, height = pictures[key]
            if key not in regions:
                everywhere = np.ones((height, width), np.uint8)
                regions[key] = everywhere if base is None else stretch_nearest(base, (height, width))
            regions[key] = regions[key] & (drawn if is_allowed else 1 - drawn)
            if not regions[key].any():
                raise DataError(f"{path}: leaves no pixel of {pictures[key][0]} allowed; draw a larger region")
    return regions


def _anchors(
    path: str | None, dataset: DatasetIndex, pictures: Pictures, settings: Settings
) -> dict[tuple[str, str], list[Box]]:
    if path is None:
        return {}
    if path.lower().endswith(".csv"):
        found = read_anchors_csv(_text(read_file(path, settings), path), path, dataset.classes)
    else:
        found = read_anchors(FsspecTree(path, settings), dataset.classes)
    anchors: dict[tuple[str, str], list[Box]] = {}
    for key, boxes in match_anchors(found, pictures).items():
        for class_name, *box in boxes:
            left, top, width, height = box
            anchors.setdefault((key, class_name), []).append((left, top, width, height))
    return anchors


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataError(f"{name}: not UTF-8 text ({err.reason}); save it as UTF-8") from err
