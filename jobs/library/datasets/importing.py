"""The steps of an import: read and check every item, wait on disk until the split is known, pack shards."""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_gan.formats.reading.json_files import text_of
from anomaly_gan.formats.reading.source import SourceItem, SourceTree
from anomaly_gan.formats.reading.to_sample import ClassNames, to_sample
from anomaly_gan.progress import Progress
from anomaly_gan.samples.grouping import Grouping, csv_grouping, own_group, regex_grouping
from anomaly_gan.samples.index import SPLITS, SampleEntry, ShardEntry, SkippedEntry, Split, describe
from anomaly_gan.samples.near_twins import Hash, look
from anomaly_gan.samples.sample import Sample, encode_sample
from infra.errors import DataError, StorageError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.shards import Members, read_shard, write_shard, write_shards
from infra.storage.sources import read_file

LISTED = 20
"""A message lists at most this many bad items."""


class Spool:
    """Encoded samples in a folder, one file each, so that an import holds one shard in memory at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, members: Members) -> None:
        self.write(f"{key}.sample", write_shard([(key, members)]).data)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder.

        Raises:
            StorageError: the folder is full, or cannot be written.
        """
        try:
            (self.folder / name).write_bytes(data)
        except OSError as err:
            told = f"{self.folder}: {err.strerror}; an import keeps what it has read there"
            raise StorageError(f"{told}: free some space, or set TMPDIR to a folder on a larger disk") from err

    def take(self, key: str) -> Members:
        """The members of `key`, which is forgotten."""
        ((_, members),) = read_shard(self._path(key).read_bytes(), key)
        self._path(key).unlink()
        return members

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.sample"


@contextmanager
def open_spool() -> Iterator[Spool]:
    """A spool in the folder for temporary files (TMPDIR), which is removed at the end.

    Raises:
        StorageError: no such folder can be made.
    """
    try:
        tempfile.gettempdir()
    except OSError as err:
        raise StorageError(f"temporary folder: {err.strerror}; set TMPDIR to one that can be written") from err
    with tempfile.TemporaryDirectory(prefix="agan-import-") as folder:
        yield Spool(Path(folder))


@dataclass
class Gathered:
    """What reading a source gave, apart from the samples themselves.

    Attributes:
        entries: of the good items, in the order of their paths; they have no place yet.
        skipped: the bad items.
        warnings: one sentence each.
        notes: how pictures were read -> their paths; a clause that goes on after "N pictures".
        looks: key -> hash of a picture that is not plain; near twins have nearly the same.
        left_out: items that show a class that is to be left out.
        classes_left_out: those classes.
        dimensions: 2 where there was a grey picture, 3 where there was a colour one.
        files: paths of the source that were used, or skipped with a reason.
    """

    entries: list[SampleEntry] = field(default_factory=list)
    skipped: list[SkippedEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    looks: dict[str, Hash] = field(default_factory=dict)
    left_out: list[SkippedEntry] = field(default_factory=list)
    classes_left_out: set[str] = field(default_factory=set)
    dimensions: set[int] = field(default_factory=set)
    files: set[str] = field(default_factory=set)


def open_grouping(groups: str | None, tree: SourceTree, settings: Settings) -> Grouping:
    """The grouping that `--groups` means: FILE.csv[:column], a regular expression, or None = each its own.

    Raises:
        UsageError: no such column, or no regular expression.
        NotFoundError: the CSV file is neither in the tree nor where the path or URL says.
    """
    if groups is None:
        return own_group
    stem, is_csv, rest = groups.rpartition(".csv")
    if not is_csv or (rest and not rest.startswith(":")):
        return regex_grouping(groups)
    path = f"{stem}.csv"
    data = tree.read(path) if path in tree.paths() else read_file(path, settings)
    return csv_grouping(text_of(data, path), rest[1:] or "group", path)


def gather(
    items: Sequence[SourceItem],
    grouping: Grouping,
    resolution: int | None,
    spool: Spool,
    on_progress: Progress,
    *,
    allow_large: bool = False,
    leave_out: Collection[str] = (),
) -> Gathered:
    """Load, check and encode every item into the spool; a bad one is noted, not raised."""
    gathered, names = Gathered(), ClassNames()
    for done, item in enumerate(items, start=1):
        gathered.files.add(item.path)
        try:
            picture = item.load()
            gathered.files.update(picture.files)
            group = grouping(picture.path)
            sample, warnings = to_sample(
                item.key, picture, group=group, resolution=resolution, names=names, allow_large=allow_large
            )
        except DataError as err:
            gathered.skipped.append(SkippedEntry(path=item.path, reason=str(err)))
        else:
            gathered.warnings += warnings
            for note in picture.notes:
                gathered.notes.setdefault(note, []).append(picture.path)
            _keep(sample, item, gathered, spool, leave_out)
        on_progress(done, len(items))
    return gathered


def _keep(sample: Sample, item: SourceItem, gathered: Gathered, spool: Spool, leave_out: Collection[str]) -> None:
    unwanted = sorted(sample.masks.keys() & set(leave_out))
    if unwanted:
        reason = f"{item.path}: shows {', '.join(unwanted)}, which --leave-out names"
        gathered.left_out.append(SkippedEntry(path=item.path, reason=reason))
        gathered.classes_left_out.update(unwanted)
        return
    members = encode_sample(sample)
    spool.put(item.key, members)
    gathered.entries.append(describe(sample, members))
    gathered.dimensions.add(sample.image.ndim)
    seen = look(sample.image)
    if seen is not None:
        gathered.looks[item.key] = seen


def refuse_above(max_bad: int, skipped: Sequence[SkippedEntry], url: str, advice: str = "") -> None:
    """Raises:
    DataError: there are more bad items than allowed; one line for each.
    """
    if len(skipped) <= max_bad:
        return
    lines = [entry.reason for entry in skipped[:LISTED]]
    if len(skipped) > LISTED:
        lines.append(f"… and {len(skipped) - LISTED} more")
    told = (
        f"{len(skipped)} bad items, allowed are {max_bad}; mend them, or leave them out with --max-bad {len(skipped)}"
    )
    raise DataError("\n  ".join([f"{url}: {told}{advice}", *lines]))


def pack(
    entries: Iterable[SampleEntry], splits: Mapping[str, Split], spool: Spool
) -> tuple[list[SampleEntry], list[ShardEntry]]:
    """Write the spooled samples into shards, train and test apart, as files of the spool's folder.

    Args:
        entries: of all samples; their order is kept within a split.
        splits: key -> split.
        spool: holds the samples, and the shards afterwards.

    Returns:
        The entries with their place, in the order of the shards, and the shards.
    """
    placed: list[SampleEntry] = []
    shards: list[ShardEntry] = []
    known = {entry.key: entry for entry in entries}
    for split in SPLITS:
        keys = [key for key in known if splits[key] == split]
        for number, shard in enumerate(write_shards((key, spool.take(key)) for key in keys)):
            name = f"{split}-{number:06d}.tar"
            spool.write(name, shard.data)
            shards.append(
                ShardEntry(
                    name=name,
                    sha256=sha256(shard.data),
                    size_bytes=len(shard.data),
                    samples=len(shard.offsets),
                )
            )
            for key, offset in shard.offsets.items():
                place = {"split": split, "shard": name, "offset": offset}
                placed.append(known[key].model_copy(update=place))
    return placed, shards
