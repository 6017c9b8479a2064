"""Damaged records are told in one sentence, and hide no other."""

import json
from collections.abc import Callable

import pytest

from infra.errors import DataError
from infra.storage.damage import sound, stored_json
from jobs.library.datasets.store import import_dataset, list_datasets, load_index
from jobs.record.context import load_spec
from jobs.record.status import list_statuses, load_progress, load_status
from jobs.train.checkpoints import CheckpointStore
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, mvtec_files


def checkpoints(storage: MemoryStorage) -> object:
    return CheckpointStore(storage, "jobs/train-1/checkpoints").entries()


DAMAGE = [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"schema_version": 99}', b"[" * 100_000, b"9" * 5000]


@pytest.mark.parametrize("data", DAMAGE)
@pytest.mark.parametrize(
    ("key", "load"),
    [
        ("datasets/x/latest.json", lambda storage: load_index(storage, "x")),
        ("jobs/train-1/status.json", lambda storage: load_status(storage, "train-1")),
        ("jobs/train-1/progress.json", lambda storage: load_progress(storage, "train-1")),
        ("jobs/train-1/spec.json", lambda storage: load_spec(storage, "train-1")),
        (
            "jobs/train-1/checkpoints/index.json",
            checkpoints,
        ),
    ],
)
def test_each_damaged_record_is_one_sentence(key: str, load: Callable[[MemoryStorage], object], data: bytes) -> None:
    storage = MemoryStorage()
    storage.write(key, data)
    if key.endswith("checkpoints/index.json") and data == b"[]":
        assert load(storage) == []
        return
    with pytest.raises(DataError) as error:
        load(storage)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("data", DAMAGE)
def test_a_damaged_data_set_does_not_hide_the_others(data: bytes) -> None:
    storage = MemoryStorage()
    for name in ("a", "b", "c"):
        import_dataset(storage, MemoryTree(mvtec_files(crack=4)), name=name, fmt="mvtec", resolution=None)
    version = json.loads(storage.read("datasets/b/latest.json"))["version"]
    for key in ("datasets/b/latest.json", f"datasets/b/{version}/index.json"):
        kept = storage.read(key)
        storage.write(key, data)
        told: list[str] = []
        assert [index.name for index in list_datasets(storage, told.append)] == ["a", "c"]
        assert len(told) == 1 and told[0].startswith("data set b: ")
        storage.write(key, kept)


def test_a_damaged_job_does_not_hide_the_others() -> None:
    storage = MemoryStorage()
    for job_id in ("train-1", "train-2"):
        storage.write(f"jobs/{job_id}/status.json", b"{")
    told: list[str] = []
    assert list_statuses(storage, told.append) == []
    assert [sentence[:12] for sentence in told] == ["job train-1:", "job train-2:"]


def test_records_that_are_sound_pass() -> None:
    assert stored_json(b'{"a": 1}', "x", "") == {"a": 1}
    assert list(sound(["1", "2"], int, print)) == [1, 2]
