"""The contact sheet of a data set."""

from collections.abc import Sequence
from itertools import chain
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.drawing.sheets import class_colors, contact_sheet, sample_tile
from anomaly_gan.samples.index import NORMAL, DatasetIndex, SampleEntry
from infra.storage.protocol import Storage
from jobs.library.datasets.store import read_entries


def draw_sheet(storage: Storage, index: DatasetIndex, *, per_class: int = 6, tile_px: int = 192) -> NDArray[np.uint8]:
    """Contact sheet [H, W, 3] RGB: a row of normal samples, then rows of each class, spread over the index.

    Raises:
        UsageError: per_class is below 1.
    """
    rows = {NORMAL: index.select(classes=())}
    rows |= {name: index.select(classes=[name], normal=False) for name in index.classes}
    chosen = {name: _spread(entries, per_class) for name, entries in rows.items()}
    samples = {sample.key: sample for sample in read_entries(storage, index, chain(*chosen.values()))}
    colors = class_colors(index.classes)
    tiles = [
        sample_tile(samples[entry.key], tile_px, colors, f"{name} ({entry.split}) {PurePosixPath(entry.source).stem}")
        for name, entries in chosen.items()
        for entry in entries
    ]
    return contact_sheet(tiles, per_class, tile_px)


def _spread(entries: Sequence[SampleEntry], wanted: int) -> list[SampleEntry]:
    steps = min(wanted, len(entries))
    return [entries[i * len(entries) // steps] for i in range(steps)]
