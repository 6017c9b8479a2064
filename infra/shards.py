"""WebDataset shards: tar files whose members are named <key>.<extension>, written byte-identically."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from webdataset.tariterators import group_by_keys, tar_file_iterator
from webdataset.writer import TarWriter

from infra.digest import sha256
from infra.errors import DataError

MAX_SHARD_BYTES = 32 << 20
"""A shard is closed before a sample that would pass this size; readers take a shard in one request."""

SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SAFE_MEMBER = re.compile(rf"{SAFE_KEY.pattern}(\.[A-Za-z0-9_-]+)+")

Members = Mapping[str, bytes]


@dataclass(frozen=True)
class Shard:
    """One tar file in memory; `offsets` holds the byte offset of each sample's first tar header."""

    data: bytes
    offsets: dict[str, int]


def write_shards(samples: Iterable[tuple[str, Members]], max_bytes: int = MAX_SHARD_BYTES) -> Iterator[Shard]:
    """Pack samples in order into as many shards as needed; the same samples give the same bytes.

    Raises:
        DataError: a key or member name could not be read back safely.
    """
    pending: list[tuple[str, Members]] = []
    size = 0
    for key, members in samples:
        added = sum(len(data) for data in members.values())
        if pending and size + added > max_bytes:
            yield write_shard(pending)
            pending, size = [], 0
        pending.append((key, members))
        size += added
    if pending:
        yield write_shard(pending)


def write_shard(samples: Iterable[tuple[str, Members]]) -> Shard:
    """Pack samples into one shard; see `write_shards`."""
    stream = io.BytesIO()
    offsets: dict[str, int] = {}
    with TarWriter(stream, encoder=False, mtime=0) as writer:
        for key, members in samples:
            if not SAFE_KEY.fullmatch(key):
                raise DataError(f"sample key {key!r}: only letters, digits, '_' and '-' may stand in it")
            offsets[key] = writer.tarstream.offset
            writer.write({"__key__": key, **dict(sorted(members.items()))})
    return Shard(stream.getvalue(), offsets)


def read_shard(data: bytes, name: str, digest: str | None = None) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, members) in the order written; nothing is ever unpickled or written to disk.

    Args:
        data: the tar file.
        name: how messages call it.
        digest: expected sha256 of `data`; None = not checked.

    Raises:
        DataError: the digest differs, the tar is broken, or a member is no plain, safely named file.
    """
    if digest is not None and sha256(data) != digest:
        raise DataError(f"{name}: sha256 differs from the index; the shard is corrupt, import or make it again")
    try:
        for sample in group_by_keys(_members(data, name), lcase=False):
            if sample is not None:
                yield sample["__key__"], {k: v for k, v in sample.items() if not k.startswith("__")}
    except DataError:
        raise
    except Exception as err:  # tarfile and webdataset raise many kinds on broken input
        raise DataError(f"{name}: not a readable shard ({err})") from err


def _members(data: bytes, name: str) -> Iterator[dict[str, object]]:
    for member in tar_file_iterator(io.BytesIO(data), skip_meta=None):
        if not SAFE_MEMBER.fullmatch(member["fname"]):
            raise DataError(f"{name}: member {member['fname']!r} is not named <key>.<extension>")
        yield {**member, "__url__": name}
