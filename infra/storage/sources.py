"""Folders and files that a user names by path or URL (s3://, memory:// …), read through fsspec."""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from fsspec.core import url_to_fs

from infra.errors import NotFoundError, StorageError, UsageError
from infra.settings import Settings

HIDDEN_FOLDERS = ("__MACOSX",)


class FsspecTree:
    """The files below one folder, read only; hidden ones (a part that begins with a dot) are left out.

    Raises:
        UsageError: the URL's scheme is unknown, or it names a file.
        NotFoundError: nothing is there.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url.rstrip("/") or "/"
        self._fs, self._root = _open(self.url, settings)
        with _translated(self.url):
            self._fs.invalidate_cache()
            if self._fs.isfile(self._root):
                raise UsageError(f"{self.url}: is a file; name the folder that holds it")
            if not self._fs.exists(self._root):
                raise NotFoundError(f"{self.url}: no such folder; check the path")

    def paths(self) -> list[str]:
        return self._paths

    @cached_property
    def _paths(self) -> list[str]:
        with _translated(self.url):
            found = self._fs.find(self._root)
        prefix = self._root.rstrip("/") + "/"
        relative = (path.removeprefix(prefix) for path in found)
        return sorted(path for path in relative if not _is_hidden(path))

    def read(self, path: str) -> bytes:
        with _translated(f"{self.url}/{path}"):
            return cast(bytes, self._fs.cat_file(posixpath.join(self._root, path)))


def read_file(url: str, settings: Settings) -> bytes:
    """One file by path or URL.

    Raises:
        UsageError: the URL's scheme is unknown.
        NotFoundError: nothing is there.
        StorageError: it cannot be read.
    """
    fs, path = _open(url, settings)
    with _translated(url):
        return cast(bytes, fs.cat_file(path))


def _open(url: str, settings: Settings) -> tuple[Any, str]:
    options: dict[str, Any] = {}
    if url.startswith(("s3://", "s3a://")):
        options = {"endpoint_url": settings.s3_endpoint, "profile": settings.s3_profile}
        if settings.s3_region is not None:
            options["client_kwargs"] = {"region_name": settings.s3_region}
    try:
        return cast(tuple[Any, str], url_to_fs(url, **options))
    except (ValueError, ImportError) as err:
        raise UsageError(f"{url}: cannot be opened ({err}); use a local path or s3://bucket/prefix") from err


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as err:
        raise NotFoundError(f"{where}: no such file; check the path") from err
    except (OSError, BotoCoreError, ClientError) as err:
        raise StorageError(f"{where}: cannot be read ({err}); check rights, credentials and network") from err


def _is_hidden(path: str) -> bool:
    return any(part in HIDDEN_FOLDERS or (part.startswith(".") and part not in (".", "..")) for part in path.split("/"))
