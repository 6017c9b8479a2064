"""The steps of an import: read and check every item, wait on disk until the split is known, pack shards."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from anomaly_gan.formats.reading.source import SourceItem, SourceTree
from anomaly_gan.formats.reading.to_sample import ClassNames, to_sample
from anomaly_gan.progress import Progress
from anomaly_gan.samples.grouping import Grouping, csv_grouping, own_group, regex_grouping
from anomaly_gan.samples.index import SPLITS, SampleEntry, ShardEntry, SkippedEntry, Split, describe
from anomaly_gan.samples.sample import encode_sample
from infra.errors import DataError
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
        self._path(key).write_bytes(write_shard([(key, members)]).data)

    def take(self, key: str) -> Members:
        """The members of `key`, which is forgotten."""
        ((_, members),) = read_shard(self._path(key).read_bytes(), key)
        self._path(key).unlink()
        return members

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.sample"


@contextmanager
def open_spool() -> Iterator[Spool]:
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
        dimensions: 2 where there was a grey picture, 3 where there was a colour one.
        files: paths of the source that were used, or skipped with a reason.
    """

    entries: list[SampleEntry] = field(default_factory=list)
    skipped: list[SkippedEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
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
    try:
        return csv_grouping(data.decode("utf-8-sig"), rest[1:] or "group", path)
    except UnicodeDecodeError as err:
        raise DataError(f"{path}: not UTF-8 text ({err.reason}); save it as UTF-8") from err


def gather(
    items: Sequence[SourceItem],
    grouping: Grouping,
    resolution: int | None,
    spool: Spool,
    on_progress: Progress,
    *,
    allow_large: bool = False,
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
            members = encode_sample(sample)
            spool.put(item.key, members)
            gathered.entries.append(describe(sample, members))
            gathered.warnings += warnings
            for note in picture.notes:
                gathered.notes.setdefault(note, []).append(picture.path)
            gathered.dimensions.add(sample.image.ndim)
        on_progress(done, len(items))
    return gathered


def refuse_above(max_bad: int, skipped: Sequence[SkippedEntry], url: str) -> None:
    """Raises:
    DataError: there are more bad items than allowed; one line for each.
    """
    if len(skipped) <= max_bad:
        return
    lines = [entry.reason for entry in skipped[:LISTED]]
    if len(skipped) > LISTED:
        lines.append(f"… and {len(skipped) - LISTED} more")
    advice = f"mend them, or leave them out with --max-bad {len(skipped)}"
    raise DataError("\n  ".join([f"{url}: {len(skipped)} bad items, allowed are {max_bad}; {advice}", *lines]))


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
            (spool.folder / name).write_bytes(shard.data)
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
