"""A new folder that appears complete or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import UsageError


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` to write into; it becomes `target` at the end, and is removed after an error.

    Raises:
        UsageError: `target` is there already, or cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target}: is there already; remove it, or name a new folder")
    place = target.resolve()
    making = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    try:
        making.mkdir(parents=True)
        yield making
        making.rename(place)
    except OSError as err:
        raise UsageError(f"{target}: cannot be written ({err.strerror}); check rights and free space") from err
    finally:
        shutil.rmtree(making, ignore_errors=True)
