"""The list of stores, by the scheme of their URI; each is imported only when it is opened."""

from pathlib import Path

from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.protocol import Storage


def is_local(uri: str) -> bool:
    """Whether only processes of one machine can reach the store."""
    return not uri.startswith("s3://")


def open_storage(settings: Settings) -> Storage:
    """The store that the settings name.

    Raises:
        UsageError: no store is set, or its URI has a scheme that is neither s3 nor a folder.
    """
    uri = settings.require_store()
    if uri.startswith("s3://"):
        from infra.storage.s3 import S3Storage

        return S3Storage(uri, settings)
    if "://" in uri:
        raise UsageError(f"store {uri!r}: unknown scheme; use s3://bucket/prefix or a local folder")
    from infra.storage.local import LocalStorage

    return LocalStorage(Path(uri))
