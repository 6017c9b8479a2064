import json
from dataclasses import replace
from pathlib import Path

import pytest

from anomaly_gan.formats.writing.exporters import EXPORTERS
from infra.storage.local import LocalStorage
from jobs.record.status import JobState
from tests.support.builders_export import crack, disc, sample
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_results, put_shards, put_status
from tests.support.helpers import run_cli


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


# --- export


@pytest.fixture
def generated(storage: LocalStorage) -> str:
    """A job of three images in two shards; the quality gate kept two of them."""
    first = sample("gen-00000000", crack=crack(1), hole=disc(3))
    second = replace(sample("gen-00000001", crack=crack(2)), meta={"quality": {"kept": False}})
    put_shards(storage, [[first, second], [sample("gen-00000002", crack=crack(4))]])
    return GENERATE_JOB


def test_export_writes_a_folder_named_after_job_and_format(generated: str) -> None:
    result = run_cli(["results", "export", generated, "--format", "coco"])
    assert result.stdout == f"3 images with 4 instances (crack 3, hole 1) in {generated}-coco\n"
    assert sorted(path.name for path in Path(f"{generated}-coco").iterdir()) == ["annotations.json", "images"]


def test_export_tells_progress_and_what_was_not_kept_on_stderr(generated: str) -> None:
    result = run_cli(["results", "export", generated, "--format", "labelme"])
    assert result.stderr.splitlines() == [
        f"exporting {generated}, shards: 1/2",
        f"exporting {generated}, shards: 2/2",
        "hint: the quality gate did not keep 1 of the images; --kept-only leaves them out",
    ]


def test_export_leaves_out_what_is_not_kept_where_asked_for(generated: str) -> None:
    args = ["results", "export", generated, "--format", "mvtec", "-o", "kept", "--kept-only"]
    result = run_cli([*args, "--json"])
    assert json.loads(result.stdout) == {
        "folder": "kept",
        "format": "mvtec",
        "images": 2,
        "instances": 3,
        "classes": {"crack": 2, "hole": 1},
        "rejected": 1,
    }
    assert "hint" not in result.stderr


@pytest.mark.parametrize("fmt", EXPORTERS)
def test_export_knows_every_listed_format(generated: str, fmt: str) -> None:
    run_cli(["results", "export", generated, "--format", fmt, "-o", "out"])
    assert len(list(Path("out").rglob("gen-0000000?.png"))) == 3


def test_export_into_a_folder_that_is_there_ends_with_exit_2(generated: str) -> None:
    Path("out").mkdir()
    result = run_cli(["results", "export", generated, "--format", "yolo", "-o", "out"], exit_code=2)
    assert result.stderr == "error: out: is there already; remove it, or name a new folder\n"


def test_export_to_an_unknown_format_ends_with_exit_2(generated: str) -> None:
    result = run_cli(["results", "export", generated, "--format", "voc"], exit_code=2)
    assert result.stderr == "error: --format: unknown format, got 'voc'; use one of coco, yolo, mvtec, labelme\n"
    assert list(Path().iterdir()) == []


def test_export_of_a_job_that_failed_ends_with_exit_3(storage: LocalStorage) -> None:
    put_status(storage, GENERATE_JOB, JobState.FAILED)
    result = run_cli(["results", "export", GENERATE_JOB, "--format", "coco"], exit_code=3)
    assert result.stderr.startswith(f"error: job {GENERATE_JOB}: has no results, it is failed; ")
    assert list(Path().iterdir()) == []


def test_export_of_a_changed_shard_ends_with_exit_6(storage: LocalStorage, generated: str) -> None:
    storage.write(f"jobs/{generated}/out/shards/generated-00000001.tar", b"changed")
    result = run_cli(["results", "export", generated, "--format", "coco"], exit_code=6)
    assert "out/shards/generated-00000001.tar: sha256 differs from the manifest" in result.stderr
    assert list(Path().iterdir()) == []
