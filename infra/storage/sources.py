"""Folders and files that a user names by path or URL (s3://, memory:// …), read through fsspec."""

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from infra.errors import DataError, NotFoundError, StorageError, UsageError
from infra.settings import Settings

HIDDEN_FOLDERS = ("__MACOSX",)


class FsspecTree:
    """The files below one folder, read only.

    Left out are hidden ones (a part that begins with a dot), folders behind symbolic links, and links to nothing.

    Raises:
        UsageError: the URL is empty, its scheme is unknown, or it names a file.
        NotFoundError: nothing is there.
    """

    def __init__(self, url: str, settings: Settings) -> None:
        if not url.strip():
            raise UsageError("the folder to import has no name; give a local path or s3://bucket/prefix")
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

    def left_out(self) -> list[tuple[str, str]]:
        """(path, why) of what is there but is none of `paths`, sorted."""
        return [(path, why) for path, why in sorted(self._found.items()) if why]

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(path for path, why in self._found.items() if not why)

    @cached_property
    def _found(self) -> dict[str, str]:
        """Path -> why it is left out; empty = it is not."""
        is_local = isinstance(self._fs, LocalFileSystem)
        with _translated(self.url):  # without on_error a folder that may not be listed would be passed over
            found = self._fs.find(self._root, detail=True, **({"on_error": "raise"} if is_local else {}))
        prefix = self._root.rstrip("/") + "/"
        return {
            path.removeprefix(prefix): _why_left_out(path.removeprefix(prefix), path if is_local else None)
            for path in found
        }

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: it is a pipe, a socket or a device, which never ends.
            NotFoundError: there is none.
            StorageError: it cannot be read.
        """
        place = posixpath.join(self._root, path)
        with _translated(f"{self.url}/{path}"):
            if isinstance(self._fs, LocalFileSystem) and os.path.exists(place) and not os.path.isfile(place):
                raise DataError(f"{path}: is no file but a pipe, a socket or a device; remove it")
            return cast(bytes, self._fs.cat_file(place))


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


def _why_left_out(path: str, place: str | None) -> str:
    """Why a path of a tree is no file to read, and where it lies if that is a local disk; empty = it is one."""
    if any(part in HIDDEN_FOLDERS or (part.startswith(".") and part not in (".", "..")) for part in path.split("/")):
        return "hidden files"
    if place is not None and os.path.isdir(place):
        return "symbolic links to folders"
    if place is not None and not os.path.exists(place):
        return "symbolic links to nothing"
    return ""
