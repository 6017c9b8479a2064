import json
from pathlib import Path

import pytest

from infra.storage_local import LocalStorage
from tests.builders_jobs import TRAIN_JOB, put_results, put_status
from tests.helpers import run_cli


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """The store that the environment names; the working folder is empty."""
    storage = LocalStorage(tmp_path / "store")
    monkeypatch.setenv("AGAN_STORE", storage.uri)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return storage


def test_show_lists_results_with_size_and_digest(storage: LocalStorage) -> None:
    put_results(storage, TRAIN_JOB, model__weights=b"12345", a=b"")
    assert run_cli(["results", "show", TRAIN_JOB]).stdout.splitlines() == [
        "result         bytes  sha256",
        "a              0      e3b0c44298fc",
        "model/weights  5      5994471abb01",
    ]
    told = json.loads(run_cli(["results", "show", TRAIN_JOB, "--json"]).stdout)
    assert [output["name"] for output in told["outputs"]] == ["a", "model/weights"]


def test_pull_copies_the_results_to_a_folder_named_after_the_job(storage: LocalStorage) -> None:
    put_results(storage, TRAIN_JOB, model__weights=b"12345", a=b"")
    assert run_cli(["results", "pull", TRAIN_JOB]).stdout == f"2 files in {TRAIN_JOB}\n"
    assert Path(TRAIN_JOB, "model/weights").read_bytes() == b"12345"


def test_pull_copies_the_results_to_a_folder_of_choice(storage: LocalStorage, tmp_path: Path) -> None:
    put_results(storage, TRAIN_JOB, a=b"1")
    told = json.loads(run_cli(["results", "pull", TRAIN_JOB, "-o", str(tmp_path / "x"), "--json"]).stdout)
    assert told == {"folder": str(tmp_path / "x"), "files": [str(tmp_path / "x" / "a")]}


def test_pull_of_a_changed_result_ends_with_exit_6(storage: LocalStorage) -> None:
    put_results(storage, TRAIN_JOB, a=b"1")
    storage.write(f"jobs/{TRAIN_JOB}/out/a", b"2")
    result = run_cli(["results", "pull", TRAIN_JOB], exit_code=6)
    assert "out/a: sha256 differs from the manifest" in result.stderr
    assert list(Path().rglob("*")) == []


@pytest.mark.parametrize("command", ["show", "pull"])
def test_a_job_without_results_ends_with_exit_3_and_its_state(storage: LocalStorage, command: str) -> None:
    put_status(storage)
    result = run_cli(["results", command, TRAIN_JOB], exit_code=3)
    assert result.stderr == (
        f"error: job {TRAIN_JOB}: has no results, it is running; see `agan jobs logs {TRAIN_JOB}`\n"
    )
    assert "job gone: not in" in run_cli(["results", command, "gone"], exit_code=3).stderr
    assert list(Path().rglob("*")) == []
