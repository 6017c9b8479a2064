"""Versioned data sets in the store (`jobs.library.shelf`): import, find, read, check.

The same import gives the same version, byte for byte.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.readers import hint, read_items
from anomaly_gan.formats.reading.source import SourceTree
from anomaly_gan.progress import Progress, unreported
from anomaly_gan.samples.checking import check_index, check_sample
from anomaly_gan.samples.grouping import split_by_group
from anomaly_gan.samples.index import DatasetIndex, SampleEntry, SkippedEntry, Split, count
from anomaly_gan.samples.sample import Sample, decode_sample
from infra.errors import DataError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.damage import Told, refuse, sound
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from infra.storage.shards import read_shard
from infra.storage.trial import try_store
from jobs.library.datasets.doubts import doubts, left_out
from jobs.library.datasets.importing import (
    Gathered,
    Spool,
    gather,
    open_grouping,
    open_spool,
    pack,
    refuse_above,
)
from jobs.library.shelf import INDEX, Shelf

SHELF = Shelf("data set", "datasets/", DatasetIndex, "import the data set again")
RESOLUTIONS = range(16, 4097)


@dataclass(frozen=True)
class ImportResult:
    """What an import did.

    Attributes:
        index: of the version that is now the latest.
        warnings: one sentence each; nothing was left out because of them.
        left_out: what else lay there, a clause for each reason.
        already_there: the store held this very version before.
    """

    index: DatasetIndex
    warnings: list[str]
    left_out: list[str]
    already_there: bool

    @property
    def skipped(self) -> tuple[SkippedEntry, ...]:
        return self.index.skipped


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        index: of the version that was checked.
        problems: one sentence each; empty = the data set is whole.
        samples: found and compared.
        shards: listed.
    """

    index: DatasetIndex
    problems: list[str]
    samples: int
    shards: int


def import_dataset(
    storage: Storage,
    tree: SourceTree,
    *,
    name: str,
    fmt: str,
    resolution: int | None = 512,
    groups: str | None = None,
    test_fraction: float = 0.25,
    seed: int = 0,
    max_bad: int = 0,
    options: ReadingOptions = DEFAULT,
    allow_large: bool = False,
    leave_out: Collection[str] = (),
    on_progress: Progress = unreported,
    settings: Settings | None = None,
) -> ImportResult:
    """Turn an annotated folder into a version of data set `name`, and make it the latest.

    Args:
        storage: where to.
        tree: where from.
        name: lower-case letters, digits, '_' and '-'.
        fmt: a key of `formats.reading.readers.READERS`, or its AUTO.
        resolution: side of the square to resize to; None = native sizes.
        groups: see `open_grouping`.
        test_fraction: wanted share of the test split.
        seed: of the split.
        max_bad: up to this many bad items are left out and listed.
        options: what the user says about how the source is to be read.
        allow_large: take masks that cover more than 90 % of their picture, with a warning.
        leave_out: classes; pictures that show one are left out and listed.
        on_progress: called after each item that was read.
        settings: how to reach a CSV file of groups outside the tree.

    Raises:
        UsageError: a bad argument.
        StorageError: the store cannot be written, or the folder for temporary files is full.
        DataError: more than `max_bad` bad items, no normal picture, no class, or a class that cannot be in both splits.
    """
    _check_arguments(name, resolution, test_fraction, max_bad)
    grouping = open_grouping(groups, tree, settings or Settings())
    items = read_items(fmt, tree, options)
    try_store(storage, f"{SHELF.root}{name}/")
    with open_spool() as spool:
        gathered = gather(items, grouping, resolution, spool, on_progress, allow_large=allow_large, leave_out=leave_out)
        refuse_above(max_bad, gathered.skipped, tree.url, "" if gathered.entries else hint(fmt, tree))
        _refuse_unknown(leave_out, gathered)
        index = _pack(gathered, spool, name, resolution, test_fraction, seed, options)
        already_there = storage.exists(SHELF.key(index, INDEX))
        _publish(storage, index, spool)
    warnings = doubts(tree, gathered, index.samples, groups)
    return ImportResult(index, warnings, left_out(tree, gathered, groups), already_there)


def _check_arguments(name: str, resolution: int | None, test_fraction: float, max_bad: int) -> None:
    SHELF.check_name(name)
    if resolution is not None and resolution not in RESOLUTIONS:
        limits = f"{RESOLUTIONS.start} to {RESOLUTIONS.stop - 1}"
        raise UsageError(f"--resolution: {limits} pixels or native, got {resolution}")
    if not 0 < test_fraction < 1:
        raise UsageError(f"--test-fraction: between 0 and 1, got {test_fraction}; the default is 0.25")
    if max_bad < 0:
        raise UsageError(f"--max-bad: at least 0, got {max_bad}")


def _refuse_unknown(leave_out: Collection[str], gathered: Gathered) -> None:
    unknown = sorted(set(leave_out) - gathered.classes_left_out)
    if unknown:
        known = sorted({name for entry in gathered.entries for name in entry.classes} | gathered.classes_left_out)
        raise UsageError(
            f"--leave-out: no picture shows {', '.join(unknown)}; classes are {', '.join(known) or 'none'}"
        )


def _pack(
    gathered: Gathered,
    spool: Spool,
    name: str,
    resolution: int | None,
    test_fraction: float,
    seed: int,
    options: ReadingOptions,
) -> DatasetIndex:
    if gathered.entries and all(entry.is_normal for entry in gathered.entries):
        raise DataError("no class: every picture is normal, and there is nothing to learn; add annotated pictures")
    pictures = {entry.key: (entry.group, entry.classes) for entry in gathered.entries}
    splits = split_by_group(pictures, test_fraction=test_fraction, seed=seed)
    samples, shards = pack(gathered.entries, splits, spool)
    classes = sorted({name for entry in samples for name in entry.classes})
    return DatasetIndex(
        name=name,
        version="",
        resolution=resolution,
        gray=gathered.dimensions == {2},
        classes=tuple(classes),
        counts=count(samples, classes),
        test_fraction=test_fraction,
        seed=seed,
        shards=tuple(shards),
        samples=tuple(samples),
        skipped=(*gathered.skipped, *gathered.left_out),
        reading=options.stated(),
    ).with_version()


def _publish(storage: Storage, index: DatasetIndex, spool: Spool) -> None:
    """Shards first and the pointer last, so that a reader never finds a version that is not whole."""
    for shard in index.shards:
        storage.upload(spool.folder / shard.name, SHELF.key(index, shard.name))
    SHELF.publish(storage, index)


def list_datasets(storage: Storage, on_damaged: Told = refuse) -> list[DatasetIndex]:
    """The latest version of every data set, by name; `on_damaged` is told of those that cannot be read."""
    return list(sound(SHELF.names(storage), lambda name: load_index(storage, name), on_damaged))


def load_index(storage: Storage, name: str) -> DatasetIndex:
    """The index of NAME (its latest version) or NAME@VERSION; see `Shelf.load` for the errors."""
    return SHELF.load(storage, name)


def load_samples(
    storage: Storage,
    index: DatasetIndex,
    *,
    split: Split | None,
    classes: Collection[str] | None = None,
    normal: bool = True,
) -> list[Sample]:
    """Decoded samples in index order; see `DatasetIndex.select` for what is taken.

    Raises:
        UsageError: the data set has no such class.
        DataError: a shard differs from its digest, or misses a sample.
    """
    unknown = set(classes or ()) - set(index.classes)
    if unknown:
        known = ", ".join(index.classes)
        raise UsageError(f"data set {index.name}: has no class {', '.join(sorted(unknown))}, only {known}")
    return list(read_entries(storage, index, index.select(split=split, classes=classes, normal=normal)))


def read_entries(storage: Storage, index: DatasetIndex, entries: Iterable[SampleEntry]) -> Iterator[Sample]:
    """Decoded samples of some entries, in index order; see `load_samples` for the errors."""
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        wanted.setdefault(entry.shard, set()).add(entry.key)
    for shard in index.shards:
        missing = wanted.get(shard.name, set())
        if not missing:
            continue
        name = f"data set {index.name}: {shard.name}"
        for key, members in read_shard(storage.read(SHELF.key(index, shard.name)), name, shard.sha256):
            if key in missing:
                missing.remove(key)
                yield decode_sample(key, members)
        if missing:
            raise DataError(f"{name}: misses sample {min(missing)}; import the data set again")


def check_dataset(storage: Storage, name: str) -> CheckReport:
    """Compare everything stored of NAME or NAME@VERSION with its index: digests, masks, counts, groups.

    Raises:
        NotFoundError: no such data set.
        DataError: the index itself cannot be read.
    """
    index = load_index(storage, name)
    problems = check_index(index)
    found = 0
    for shard in index.shards:
        expected = {entry.key: entry for entry in index.samples if entry.shard == shard.name}
        try:
            data = storage.read(SHELF.key(index, shard.name))
            if sha256(data) != shard.sha256:
                problems.append(f"{shard.name}: sha256 differs from the index; the shard was changed")
            for key, members in read_shard(data, shard.name):
                found += 1
                if key in expected:
                    problems += check_sample(expected.pop(key), members)
                else:
                    problems.append(f"{shard.name}: sample {key} is not in the index, or there twice")
        except (DataError, NotFoundError) as err:
            problems.append(str(err))
        problems += [f"{shard.name}: sample {key} is missing" for key in expected]
    return CheckReport(index, problems, found, len(index.shards))
