"""The one seam to the store: the protocol that S3, a local folder and the tests' memory share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.errors import UsageError


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing says of an object.

    Attributes:
        modified_at: when it was written, by the store's clock, seconds since 1970.
    """

    key: str
    size_bytes: int
    modified_at: float


@dataclass(frozen=True)
class Unfinished:
    """An upload that was begun and never completed; no reader sees it, but it takes room.

    Attributes:
        id: what the store calls it.
        begun_at: seconds since 1970.
    """

    key: str
    id: str
    begun_at: float


class Storage(Protocol):
    """Named bytes below one URI.

    A key is a relative POSIX path. Every write is atomic: a reader sees the old object, the new one, or none.
    All methods raise StorageError where the store refuses or cannot be reached.
    """

    uri: str

    def read(self, key: str) -> bytes:
        """The bytes of an object. Raises NotFoundError where there is no such object."""

    def write(self, key: str, data: bytes) -> None:
        """Create or replace an object."""

    def create(self, key: str, data: bytes) -> bool:
        """Write only where nothing is; False where something was. Of racing callers exactly one gets True."""

    def upload(self, path: Path, key: str) -> None:
        """Create or replace an object from a file of any size."""

    def download(self, key: str, path: Path) -> None:
        """Copy an object of any size into a file. Raises NotFoundError where there is no such object."""

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> list[StoredObject]:
        """All objects whose key starts with `prefix`, sorted by key."""

    def delete(self, key: str) -> None:
        """Remove an object; no error where there is none."""

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        """Uploads to keys that start with `prefix`, sorted by key, then by when they began."""

    def abandon(self, upload: Unfinished) -> None:
        """Free what an unfinished upload takes; no error where it is gone."""

    def url(self, key: str) -> str:
        """How a person or another program names the object."""


def check_key(key: str) -> str:
    """Refuse a key that could leave the store.

    Raises:
        UsageError: the key is empty, absolute, or has an empty, `.` or `..` part.
    """
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise UsageError(f"store key {key!r}: must be a relative path without empty, '.' or '..' parts")
    return key


def check_prefix(prefix: str) -> str:
    """Refuse a prefix that could leave the store; an empty one is all of it.

    Raises:
        UsageError: as `check_key`; the last part may be empty.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix
