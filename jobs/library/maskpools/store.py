"""Mask pools in the store (`jobs.library.shelf`): find, read, and hand the elements of one class to a job."""

import numpy as np
from pydantic import ValidationError

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.masks.pool.index import MASK_MEMBER, REGION_KEY, ElementEntry, MaskPoolIndex, region_key
from anomaly_gan.masks.pool.pool import Element, Mask, MaskPool
from anomaly_gan.samples.index import DatasetIndex
from anomaly_gan.samples.sample import MASK_THRESHOLD, decode_png
from infra.errors import DataError, UsageError
from infra.storage.protocol import Storage
from infra.storage.shards import read_shard
from jobs.library.shelf import Shelf

SHELF = Shelf("mask pool", "maskpools/", MaskPoolIndex, "build it again with `agan masks build`")


def load_pool_index(storage: Storage, name: str) -> MaskPoolIndex:
    """The index of NAME (its latest version) or NAME@VERSION; see `Shelf.load` for the errors."""
    return SHELF.load(storage, name)


def list_pools(storage: Storage) -> list[MaskPoolIndex]:
    """The latest version of every mask pool, by name."""
    return [load_pool_index(storage, name) for name in SHELF.names(storage)]


def full_name(index: MaskPoolIndex) -> str:
    return f"{index.name}@{index.version}"


def rules_of(index: MaskPoolIndex, class_name: str) -> MaskConfig:
    """Raises UsageError where the pool has no such class."""
    if class_name not in index.classes:
        raise UsageError(
            f"mask pool {index.name}: has no class {class_name!r}, only {', '.join(index.classes)};"
            " name one of them, or build a pool that has it"
        )
    return index.classes[class_name].rules


def view_of(index: MaskPoolIndex, window: int | None) -> ViewConfig:
    """Windows, or the whole frame of the pool's resolution.

    Raises:
        UsageError: a side that is no power of two, or native sizes without a window.
    """
    try:
        if window is not None:
            return ViewConfig(kind="window", size=window)
        return ViewConfig.model_validate({"size": index.resolution})
    except ValidationError as err:
        if window is not None:
            raise UsageError(f"--window: a power of two from 64 to 1024, got {window}") from err
        raise UsageError(
            f"mask pool {index.name}: is of {_pixels(index.resolution)}, which no whole view has;"
            " see it through windows (--window 128)"
        ) from err


def check_pool(index: MaskPoolIndex, class_name: str, dataset: DatasetIndex) -> None:
    """Refuse a pool that was made for something else.

    Raises:
        UsageError: another class, resolution or data set.
    """
    rules_of(index, class_name)
    if index.resolution != dataset.resolution:
        its, wanted = (_pixels(resolution) for resolution in (index.resolution, dataset.resolution))
        raise UsageError(f"mask pool {index.name}: is of {its}, data set {dataset.name} of {wanted}; build it for that")
    label = f"{dataset.name}@{dataset.version}"
    if index.dataset != label:
        raise UsageError(
            f"mask pool {index.name}: was built from {index.dataset}, not from {label}, whose split may differ;"
            f" build it again with --dataset {label}"
        )


def _pixels(resolution: int | None) -> str:
    return "native size" if resolution is None else f"{resolution} px"


def load_pool(storage: Storage, index: MaskPoolIndex, class_name: str) -> MaskPool:
    """The admitted elements of a class, its rules' knowledge, regions and anchors.

    Raises:
        DataError: a shard differs from its digest, or misses something that the index lists.
    """
    stored = read_masks(storage, index)
    entries = [entry for entry in index.select(class_name) if entry.admitted]
    about = index.classes[class_name]
    return MaskPool(
        class_name,
        tuple(_element(entry, stored[entry.id]) for entry in entries),
        about.part_counts,
        about.severity,
        about.rationality,
        stored[REGION_KEY] if index.has_region else None,
        {sample: stored[region_key(sample)] for sample in index.regions},
        {entry.sample: entry.boxes for entry in index.anchors if entry.class_name == class_name},
    )


def read_masks(storage: Storage, index: MaskPoolIndex) -> dict[str, Mask]:
    """Every stored mask, [h, w] uint8 {0, 1}, by its key: elements' ids and regions' keys.

    Raises:
        DataError: a shard differs from its digest, or misses something that the index lists.
    """
    stored: dict[str, Mask] = {}
    for shard in index.shards:
        name = f"mask pool {index.name}: {shard.name}"
        for key, members in read_shard(storage.read(SHELF.key(index, shard.name)), name, shard.sha256):
            levels = decode_png(members[MASK_MEMBER], f"{name}: {key}")
            stored[key] = (levels >= MASK_THRESHOLD).astype(np.uint8)
    expected = [entry.id for entry in index.elements] + [region_key(sample) for sample in index.regions]
    if index.has_region:
        expected = [*expected, REGION_KEY]
    missing = [key for key in expected if key not in stored]
    if missing:
        raise DataError(f"mask pool {index.name}: misses {missing[0]}; {SHELF.remake}")
    return stored


def _element(entry: ElementEntry, mask: Mask) -> Element:
    return Element(entry.source, mask, entry.top, entry.left, entry.origin == "expert", entry.borders)
