import json
from pathlib import Path

import pytest

from infra.errors import DataError
from infra.storage.digest import sha256
from jobs.train.checkpoints import CheckpointStore
from tests.support.helpers import MemoryStorage

PREFIX = "jobs/j/checkpoints"


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def save_one(store: CheckpointStore, path: Path, step: int, data: bytes) -> None:
    path.write_bytes(data)
    store.save(step, path)


def save(storage: MemoryStorage, path: Path, count: int) -> CheckpointStore:
    """So many checkpoints, of steps 10, 20, ..."""
    store = CheckpointStore(storage, PREFIX)
    for step in range(10, 10 * count + 1, 10):
        save_one(store, path, step, f"state {step}".encode())
    return store


def loaded(store: CheckpointStore, path: Path, step: int) -> bytes:
    store.load(step, path)
    return path.read_bytes()


def stored_steps(storage: MemoryStorage) -> list[int]:
    return [int(key.removeprefix(f"{PREFIX}/").removesuffix(".pt")) for key in storage.objects if key.endswith(".pt")]


@pytest.mark.parametrize(("count", "kept"), [(1, [10]), (2, [10, 20]), (3, [20, 30]), (5, [40, 50])])
def test_the_last_two_are_kept(storage: MemoryStorage, path: Path, count: int, kept: list[int]) -> None:
    store = save(storage, path, count)
    assert sorted(stored_steps(storage)) == kept
    assert [entry["step"] for entry in store.entries()] == kept
    assert [entry["sha256"] for entry in store.entries()] == [sha256(f"state {step}".encode()) for step in kept]
    for step in kept:
        assert loaded(store, path, step) == f"state {step}".encode()


def test_the_best_one_of_an_index_of_before_goes_with_the_next_save(storage: MemoryStorage, path: Path) -> None:
    """Then the best was kept beside the last two, for its score."""
    store = save(storage, path, 2)
    entries = [{"step": 4, "sha256": "", "score": 0.1}, *({**entry, "score": 0.5} for entry in store.entries())]
    storage.write(f"{PREFIX}/00000004.pt", b"state 4")
    storage.write(f"{PREFIX}/index.json", json.dumps(entries).encode())
    assert store.latest_step() == 20
    save_one(store, path, 30, b"state 30")
    assert sorted(stored_steps(storage)) == [20, 30] and [entry["step"] for entry in store.entries()] == [20, 30]


def test_nothing_saved_is_nothing_to_resume(storage: MemoryStorage, path: Path) -> None:
    store = save(storage, path, 0)
    assert store.entries() == [] and store.latest_step() is None


def test_a_checkpoint_that_was_not_finished_is_not_named(
    storage: MemoryStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = save(storage, path, 1)
    write = storage.write

    def fail_at_index(key: str, data: bytes) -> None:
        if key.endswith("index.json"):
            raise OSError("power cut")
        write(key, data)

    monkeypatch.setattr(storage, "write", fail_at_index)
    with pytest.raises(OSError, match="power cut"):
        save_one(store, path, 20, b"half")
    assert store.latest_step() == 10 and loaded(store, path, 10) == b"state 10"
    monkeypatch.undo()
    save_one(store, path, 20, b"whole")
    assert store.latest_step() == 20 and loaded(store, path, 20) == b"whole"


def test_a_step_that_is_done_again_replaces_it_and_what_came_after(storage: MemoryStorage, path: Path) -> None:
    store = save(storage, path, 3)
    save_one(store, path, 20, b"again")
    assert store.latest_step() == 20 and loaded(store, path, 20) == b"again"
    assert stored_steps(storage) == [20]


def test_a_corrupt_checkpoint_is_refused_and_once_removed_the_one_before_is_taken(
    storage: MemoryStorage, path: Path
) -> None:
    store = save(storage, path, 2)
    key = f"{PREFIX}/00000020.pt"
    storage.write(key, b"corrupt")
    with pytest.raises(
        DataError, match=f"{key}: sha256 differs from the index; remove it to go on from the one before"
    ):
        store.load(20, path)
    storage.delete(key)
    assert store.latest_step() == 10


def test_other_files_below_the_prefix_stay(storage: MemoryStorage, path: Path) -> None:
    storage.write(f"{PREFIX}/history.json", b"[]")
    save(storage, path, 3)
    assert f"{PREFIX}/history.json" in storage.objects


def test_a_checkpoint_that_somebody_removed_is_passed_over(storage: MemoryStorage, path: Path) -> None:
    store = save(storage, path, 3)
    storage.delete(f"{PREFIX}/00000030.pt")
    assert store.latest_step() == 20 and loaded(store, path, 20) == b"state 20"
    storage.delete(f"{PREFIX}/00000020.pt")
    assert store.latest_step() is None
