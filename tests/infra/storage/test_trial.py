"""A store is tried before long work."""

from pathlib import Path

import pytest

from infra.errors import StorageError
from infra.storage.local import LocalStorage
from infra.storage.trial import try_store
from jobs.library.datasets.store import import_dataset
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, mvtec_files


class Ignoring(MemoryStorage):
    """Says of every creation that it made the object."""

    def create(self, key: str, data: bytes) -> bool:
        super().create(key, data)
        return True


def test_a_store_that_creates_twice_is_found_out_and_nothing_is_left() -> None:
    storage = Ignoring()
    with pytest.raises(StorageError, match=r"conditional writes, If-None-Match, are ignored"):
        try_store(storage, "x/")
    assert storage.list("") == []


def test_a_good_store_passes_and_nothing_is_left(tmp_path: Path) -> None:
    for storage in (MemoryStorage(), LocalStorage(tmp_path)):
        try_store(storage, "x/")
        assert storage.list("") == []


def test_a_store_that_cannot_be_written_is_refused_before_a_picture_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    seen: list[int] = []
    with pytest.raises(StorageError, match=r"check the folder's rights"):
        import_dataset(
            LocalStorage(Path("/proc/none")),
            MemoryTree(mvtec_files(crack=4)),
            name="x",
            fmt="mvtec",
            on_progress=lambda done, total: seen.append(done),
        )
    assert seen == []
