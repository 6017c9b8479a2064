"""The contact sheet of a data set."""

from itertools import chain
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.drawing.sheets import Tile, class_colors, grouped_sheet, sample_tile, spread_evenly
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
    chosen = {name: spread_evenly(entries, per_class) for name, entries in rows.items()}
    samples = {sample.key: sample for sample in read_entries(storage, index, chain(*chosen.values()))}
    colors = class_colors(index.classes)

    def tile(name: str, entry: SampleEntry) -> Tile:
        title = f"{name} ({entry.split}) {PurePosixPath(entry.source).stem}"
        return sample_tile(samples[entry.key], tile_px, colors, title)

    groups = [[tile(name, entry) for entry in entries] for name, entries in chosen.items()]
    return grouped_sheet(groups, per_class, tile_px)
