"""The store in a local folder: atomic by rename, exclusive by hard link."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.errors import NotFoundError, StorageError
from infra.storage import StoredObject, check_key, check_prefix

TEMPORARY = ".tmp-"
"""Begins the name of a file that is still being written; never listed."""


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        raise NotFoundError(f"{path}: no such object in the store") from err
    except OSError as err:
        raise StorageError(f"{path}: {err.strerror or err}; check the folder's rights and free space") from err


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class LocalStorage:
    """A `Storage` below `root`; the folder is made by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.uri = str(self.root)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def read(self, key: str) -> bytes:
        with _translated(self._path(key)):
            return self._path(key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        with _translated(self._path(key)):
            write_atomically(self._path(key), data)

    def create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
            try:
                temporary.write_bytes(data)
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def upload(self, path: Path, key: str) -> None:
        with _translated(self._path(key)):
            _copy_atomically(path, self._path(key))

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[StoredObject]:
        base = self.root / check_prefix(prefix).rpartition("/")[0]
        found = []
        with _translated(base):
            for path in base.rglob("*"):
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not path.name.startswith(TEMPORARY) and path.is_file():
                    with suppress(FileNotFoundError):  # deleted since
                        found.append(StoredObject(key, path.stat().st_size))
        return sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        with _translated(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def url(self, key: str) -> str:
        return str(self._path(key))


def _copy_atomically(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
