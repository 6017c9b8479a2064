"""WebDataset shards: tar files whose members are named <key>.<extension>, written byte-identically."""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from infra.errors import DataError
from infra.storage.digest import sha256

MAX_SHARD_BYTES = 32 << 20
"""A shard is closed before a sample that would pass this size; readers take a shard in one request."""

# a key has no dot, because the first dot of a member's name ends its key; no name can lead out of a folder
SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SAFE_MEMBER = re.compile(rf"{SAFE_KEY.pattern}(\.[A-Za-z0-9_-]+)+")

Members = Mapping[str, bytes]


@dataclass(frozen=True)
class Shard:
    """One tar file in memory.

    Attributes:
        offsets: key of each sample -> byte offset of its first tar header.
    """

    data: bytes
    offsets: dict[str, int]


def write_shards(samples: Iterable[tuple[str, Members]], max_bytes: int = MAX_SHARD_BYTES) -> Iterator[Shard]:
    """Pack samples in order into as many shards as needed; the same samples give the same bytes.

    Raises:
        DataError: a key or member name could not be read back safely.
    """
    pending: list[tuple[str, Members]] = []
    size = 0  # of the members alone; headers and padding come on top
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
    from webdataset.writer import TarWriter  # imports torch, without which shards can be read

    stream = io.BytesIO()
    offsets: dict[str, int] = {}
    # no times, and members in the order of their names: the same samples give the same bytes, and so the same sha256
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
        # members of a sample stand side by side, as WebDataset has it
        for key, group in groupby(_members(data, name), key=lambda member: member[0]):
            members: dict[str, bytes] = {}
            for _, extension, content in group:
                if extension in members:
                    raise DataError(f"{name}: sample {key} has two members {extension}")
                members[extension] = content
            yield key, members
    except DataError:
        raise
    except Exception as err:  # tarfile raises many kinds on broken input
        raise DataError(f"{name}: not a readable shard ({err})") from err


def _members(data: bytes, name: str) -> Iterator[tuple[str, str, bytes]]:
    """(key, extension, content) of every plain file."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as tar:  # from front to end; nothing is extracted to disk
        for member in tar:
            if not member.isreg():
                continue
            if not SAFE_MEMBER.fullmatch(member.name):
                raise DataError(f"{name}: member {member.name!r} is not named <key>.<extension>")
            key, _, extension = member.name.partition(".")
            content = tar.extractfile(member)
            assert content is not None
            yield key, extension, content.read()
