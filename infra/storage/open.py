"""The list of stores, by the scheme of their URI; each is imported only when it is opened."""

import re
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.protocol import Storage


@dataclass(frozen=True)
class Store:
    """One kind of store.

    Attributes:
        form: how a user writes its URI.
        opened_by: "module:name" of what makes a `Storage` from its URI and the settings.
        is_local: only processes of one machine can reach it.
    """

    form: str
    opened_by: str
    is_local: bool

    def open(self, uri: str, settings: Settings) -> Storage:
        storage: Storage = resolve_name(self.opened_by)(uri, settings)
        return storage


STORES: dict[str, Store] = {
    "s3://": Store("s3://bucket/prefix", "infra.storage.s3:S3Storage", is_local=False),
    "": Store("a local folder", "infra.storage.local:open_folder", is_local=True),
}
"""Scheme, with its separator -> store; a path has neither."""


def is_local(uri: str) -> bool:
    """Whether only processes of one machine can reach the store.

    Raises:
        UsageError: the URI has a scheme that no store has.
    """
    return _store(uri).is_local


def is_absent(uri: str) -> bool:
    """Whether the store is a local folder that is not there; raises as `is_local`."""
    return is_local(uri) and not Path(uri).expanduser().is_dir()


def open_storage(settings: Settings) -> Storage:
    """The store that the settings name.

    Raises:
        UsageError: no store is set, or its URI has a scheme that no store has.
    """
    uri = settings.require_store()
    return _store(uri).open(uri, settings)


def _store(uri: str) -> Store:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(?!//)|[A-Za-z][A-Za-z0-9]*//", uri):
        raise UsageError(f"store {uri!r}: looks like a scheme, but is none; write s3://bucket/prefix, or ./{uri}")
    scheme, separator, _ = uri.partition("://")
    store = STORES.get(scheme + separator if separator else "")
    if store is None:
        known = " or ".join(store.form for store in STORES.values())
        raise UsageError(f"store {uri!r}: unknown scheme; use {known}")
    return store
