"""A data set as files for other tools: shards of which every sample has the same members, or a format of `EXPORTERS`.

Hugging Face's datasets and Ray Data want the members of all samples to be alike; those of the store are not, because a
normal picture has no mask. Here every sample has a mask for every class, black where it shows none.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anomaly_gan.formats.writing.export import Counts, export_samples
from anomaly_gan.formats.writing.folders import new_folder
from anomaly_gan.progress import Progress, unreported
from anomaly_gan.samples.index import SPLITS, DatasetIndex, Split
from anomaly_gan.samples.instances import instances_of
from anomaly_gan.samples.sample import Sample, encode_png, encode_sample
from infra.storage.protocol import Storage
from infra.storage.shards import Members, write_shards
from jobs.library.datasets.store import load_index, read_entries

WEBDATASET = "webdataset"


def export_dataset(
    storage: Storage, name: str, fmt: str, folder: Path, *, on_progress: Progress = unreported
) -> tuple[DatasetIndex, Counts]:
    """Write both splits of NAME or NAME@VERSION to a new folder, which appears when it is complete.

    Args:
        storage: holds the data set.
        name: of it.
        fmt: WEBDATASET (`train-000000.tar`, …), or a key of `exporters.EXPORTERS`, which knows no splits.
        folder: must not be there yet.
        on_progress: called after each sample.

    Raises:
        NotFoundError: no such data set.
        UsageError: there is no such format, or the folder is there already or cannot be written.
        DataError: a shard differs from its digest.
    """
    index = load_index(storage, name)

    def samples(split: Split | None) -> Iterator[Sample]:
        entries = index.select(split=split)
        before = len(index.samples) - len(entries) if split == SPLITS[-1] else 0
        for done, sample in enumerate(read_entries(storage, index, entries), start=1 + before):
            yield sample
            on_progress(done, len(index.samples))

    if fmt != WEBDATASET:
        return index, export_samples(
            ((one, encode_png(one.image, is_photo=True)) for one in samples(None)), fmt, folder
        )
    counts = Counts()
    with new_folder(folder) as target:
        for split in SPLITS:
            alike = (_alike(sample, index, counts) for sample in samples(split))
            for number, shard in enumerate(write_shards(alike)):
                (target / f"{split}-{number:06d}.tar").write_bytes(shard.data)
    return index, counts


def _alike(sample: Sample, index: DatasetIndex, counts: Counts) -> tuple[str, Members]:
    """`image.png`, `mask.CLASS.png` for every class of the data set, `meta.json`."""
    counts.images += 1
    counts.classes.update(Counter(instance.class_name for instance in instances_of(sample)))
    blank = np.zeros(sample.image.shape[:2], np.uint8)
    masks = {name: sample.masks.get(name, blank) for name in index.classes}
    return sample.key, encode_sample(Sample(sample.key, sample.image, masks, {}, sample.meta))
