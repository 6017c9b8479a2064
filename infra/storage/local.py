"""The store in a local folder: atomic by rename, exclusive by hard link."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from infra.errors import NotFoundError, StorageError
from infra.settings import Settings
from infra.storage.protocol import StoredObject, Unfinished, check_key, check_prefix

TEMPORARY = ".tmp-"
"""Beginning of the name of a file that is still being written; such files are never listed."""


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Within it the system's errors become ours, which name the object and what to do."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        raise NotFoundError(f"{path}: no such object in the store") from err
    except OSError as err:
        raise StorageError(f"{path}: {err.strerror or err}; check the folder's rights and free space") from err


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path`; a file that has this name at the end is removed.

    In the same folder, because a rename or a hard link cannot lead into another file system.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:  # also where a parent cannot be made: nothing is missing that could be read
        raise StorageError(f"{path.parent}: {err.strerror or err}; check the folder's rights and free space") from err
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    with _beside(path) as temporary:
        temporary.write_bytes(data)
        os.replace(temporary, path)


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
        with _translated(path), _beside(path) as temporary:
            temporary.write_bytes(data)
            try:
                # a link is refused where the name is taken, and what it names is complete; a rename would replace what
                # is there, and a file that is opened exclusively could be seen half written
                os.link(temporary, path)
            except FileExistsError:
                return False
        return True

    def upload(self, path: Path, key: str) -> None:
        with _translated(self._path(key)), _beside(self._path(key)) as temporary:
            shutil.copyfile(path, temporary)
            os.replace(temporary, self._path(key))

    def download(self, key: str, path: Path) -> None:
        with _translated(self._path(key)):
            shutil.copyfile(self._path(key), path)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[StoredObject]:
        # a prefix may end within a name, as in S3, so its folder is searched and names are compared
        base = self.root / check_prefix(prefix).rpartition("/")[0]
        found = []
        with _translated(base):
            for path in base.rglob("*"):
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and not path.name.startswith(TEMPORARY) and path.is_file():
                    with suppress(FileNotFoundError):  # deleted since
                        stat = path.stat()
                        found.append(StoredObject(key, stat.st_size, stat.st_mtime))
        return sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        with _translated(self._path(key)):
            self._path(key).unlink(missing_ok=True)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        base = self.root / check_prefix(prefix).rpartition("/")[0]
        # temporary files are what a killed process leaves of its writes
        found = []
        with _translated(base):
            for path in base.rglob(f"{TEMPORARY}*"):
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix):
                    with suppress(FileNotFoundError):  # completed since
                        found.append(Unfinished(key, key, path.stat().st_mtime))
        return sorted(found, key=lambda upload: (upload.key, upload.begun_at))

    def abandon(self, upload: Unfinished) -> None:
        with _translated(self._path(upload.id)):
            self._path(upload.id).unlink(missing_ok=True)

    def url(self, key: str) -> str:
        return str(self._path(key))


def open_folder(uri: str, settings: Settings) -> LocalStorage:
    """The store below a path; no setting applies to folders."""
    return LocalStorage(Path(uri))
