"""Regions: pictures that are white where an anomaly may be."""

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.pictures import decode_levels, is_picture
from anomaly_gan.formats.reading.source import SourceTree
from anomaly_gan.masks.drawn.matching import PictureIndex, Sources
from anomaly_gan.samples.resizing import stretch_nearest
from anomaly_gan.samples.sample import MASK_THRESHOLD
from infra.errors import DataError


def read_region(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a region, allowed or forbidden, to [H, W] uint8 {0, 1}: 1 = white, a grey level of at least 128.

    Raises:
        DataError: unreadable, or nothing is white; begins with `name`.
    """
    levels = decode_levels(data, name)
    region = (levels >= MASK_THRESHOLD).astype(np.uint8)
    if not region.any():
        raise DataError(
            f"{name}: no pixel of the region is white, its highest level is {levels.max()} and white begins at"
            f" {MASK_THRESHOLD}; paint the region white"
        )
    return region


def resize_region(region: NDArray[np.uint8], width: int, height: int, name: str) -> NDArray[np.uint8]:
    """[H, W] {0, 1} -> [height, width]; each pixel takes the value under its centre.

    Raises:
        DataError: nothing allowed is left; begins with `name`.
    """
    resized = stretch_nearest(region, (height, width))
    if not resized.any():
        raise DataError(f"{name}: the region allows no pixel once it is resized to {width} x {height}; widen it")
    return resized


def match_regions(tree: SourceTree, sources: Sources) -> dict[str, NDArray[np.uint8]]:
    """Read a folder of regions, each named like the picture it is for; other files are passed over.

    Returns:
        Sample key -> [H, W] uint8 {0, 1} of the sample's size.

    Raises:
        DataError: as `read_region`; a region fits no sample, or several; two regions fit one; there is no region.
    """
    index = PictureIndex(sources)
    paths: dict[str, str] = {}
    regions = {}
    for path in filter(is_picture, tree.paths()):
        key = index.key(path, path)
        if key in paths:
            raise DataError(f"{path}: is a second region of {sources[key][0]} after {paths[key]}; keep one")
        paths[key] = path
        _, width, height = sources[key]
        regions[key] = resize_region(read_region(tree.read(path), path), width, height, path)
    if not regions:
        raise DataError(f"{tree.url}: holds no region; add a picture named like each picture of the data set")
    return regions
