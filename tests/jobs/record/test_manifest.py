import hashlib
from pathlib import Path

import pytest

from infra.errors import DataError, NotFoundError, UsageError
from jobs.record.manifest import Output, OutputWriter, load_manifest, pull, read_output
from jobs.record.status import JobState
from tests.support.builders_jobs import TRAIN_JOB, put_results, put_status
from tests.support.helpers import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, temporary files included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_visible_before_success(storage: MemoryStorage, tmp_path: Path) -> None:
    put_status(storage, state=JobState.RUNNING)
    writer = OutputWriter(storage, TRAIN_JOB)
    writer.write("a", b"one")
    message = rf"job {TRAIN_JOB}: has no results, it is running; see `agan jobs logs {TRAIN_JOB}`"
    with pytest.raises(NotFoundError, match=message):
        load_manifest(storage, TRAIN_JOB)
    writer.commit()
    del storage.objects[f"jobs/{TRAIN_JOB}/_SUCCESS"]
    with pytest.raises(NotFoundError, match=message):
        pull(storage, TRAIN_JOB, tmp_path)
    assert files(tmp_path) == {}


def test_results_of_no_job_are_not_found(storage: MemoryStorage) -> None:
    with pytest.raises(NotFoundError, match="job gone: not in memory://store"):
        load_manifest(storage, "gone")


def test_success_is_written_last(storage: MemoryStorage) -> None:
    put_results(storage, TRAIN_JOB, b=b"2", a=b"1")
    assert list(storage.objects)[-2:] == [f"jobs/{TRAIN_JOB}/manifest.json", f"jobs/{TRAIN_JOB}/_SUCCESS"]


def test_the_manifest_lists_each_output_by_name_with_size_and_digest(storage: MemoryStorage) -> None:
    put_results(storage, TRAIN_JOB, model__json=b"{}", a=b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    first, second = load_manifest(storage, TRAIN_JOB).outputs
    assert first == Output(name="a", size_bytes=3, sha256=digest)
    assert second.name == "model/json"
    assert read_output(storage, TRAIN_JOB, first) == b"one"


def test_an_output_written_twice_is_listed_once_as_it_is_now(storage: MemoryStorage) -> None:
    writer = OutputWriter(storage, TRAIN_JOB)
    writer.write("a", b"first")
    writer.write("a", b"second")
    (output,) = writer.commit().outputs
    assert read_output(storage, TRAIN_JOB, output) == b"second"


def test_outputs_of_other_processes_are_remembered_by_prefix(storage: MemoryStorage) -> None:
    for name in ("out/samples/1.png", "out/samples/2.png", "out/model", "checkpoints/1.pt"):
        storage.write(f"jobs/{TRAIN_JOB}/{name}", name.encode())
    storage.write(f"jobs/{TRAIN_JOB}5/out/x", b"of another job")
    some, everything = OutputWriter(storage, TRAIN_JOB), OutputWriter(storage, TRAIN_JOB)
    some.add_written("samples/")
    everything.add_written("")
    assert [output.name for output in some.commit().outputs] == ["samples/1.png", "samples/2.png"]
    assert [output.name for output in everything.commit().outputs] == ["model", "samples/1.png", "samples/2.png"]


def test_pull_copies_what_the_manifest_lists_and_no_more(storage: MemoryStorage, tmp_path: Path) -> None:
    put_results(storage, TRAIN_JOB, a=b"one", sub__b=b"two")
    storage.write(f"jobs/{TRAIN_JOB}/out/stray", b"")
    paths = pull(storage, TRAIN_JOB, tmp_path / "new")
    assert paths == [tmp_path / "new" / "a", tmp_path / "new" / "sub/b"]
    assert files(tmp_path / "new") == {"a": b"one", "sub/b": b"two"}


def test_pull_refuses_a_result_that_differs_and_leaves_nothing_half_written(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    put_results(storage, TRAIN_JOB, a=b"one", b=b"two", c=b"three")
    storage.write(f"jobs/{TRAIN_JOB}/out/b", b"tw")
    with pytest.raises(DataError, match=rf"job {TRAIN_JOB}: out/b: sha256 differs from the manifest; make it anew"):
        pull(storage, TRAIN_JOB, tmp_path)
    assert files(tmp_path) == {"a": b"one"}


def test_pull_of_a_result_that_is_gone_is_not_found(storage: MemoryStorage, tmp_path: Path) -> None:
    put_results(storage, TRAIN_JOB, a=b"one")
    storage.delete(f"jobs/{TRAIN_JOB}/out/a")
    with pytest.raises(NotFoundError, match="out/a: no such object"):
        pull(storage, TRAIN_JOB, tmp_path)
    assert files(tmp_path) == {}


def test_pull_never_writes_outside_its_folder(storage: MemoryStorage, tmp_path: Path) -> None:
    put_results(storage, TRAIN_JOB, a=b"one")
    manifest = storage.objects[f"jobs/{TRAIN_JOB}/manifest.json"].replace(b'"a"', b'"../a"')
    storage.write(f"jobs/{TRAIN_JOB}/manifest.json", manifest)
    with pytest.raises(UsageError, match="must be a relative path"):
        pull(storage, TRAIN_JOB, tmp_path / "target")
    assert files(tmp_path) == {}
