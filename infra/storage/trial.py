"""Does a store take what will be written to it? Asked before long work, not after it."""

import uuid

from infra.errors import StorageError
from infra.storage.protocol import Storage


def try_store(storage: Storage, prefix: str) -> None:
    """Create an object below `prefix`, try to create it again, and remove it.

    Raises:
        StorageError: the store cannot be written, or creates an object twice: then two processes could both believe
            to have made the same one.
    """
    key = f"{prefix}trial-{uuid.uuid4().hex}"
    try:
        storage.create(key, b"")
        is_made_twice = storage.create(key, b"")
    finally:
        storage.delete(key)
    if is_made_twice:
        raise StorageError(
            f"{storage.uri}: creates an object that is already there (conditional writes, If-None-Match, are ignored);"
            " use a store that honours them"
        )
