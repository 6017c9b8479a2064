import json
from pathlib import Path

import pytest

from infra.storage.local import LocalStorage
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model
from tests.support.builders_release import empty_release_state, release_file
from tests.support.helpers import run_cli


def test_list_tells_what_each_model_makes(tmp_path: Path) -> None:
    args = ["models", "list", "--store", str(tmp_path)]
    assert run_cli(args).stdout == "no models in this store\n"
    put_model(LocalStorage(tmp_path))
    assert run_cli(args).stdout.splitlines() == [
        "model                       class  px  data set  images shown  published",
        f"{TRAIN_JOB}  crack  64  tiles     640           unknown",
    ]
    told = json.loads(run_cli([*args, "--json"]).stdout)
    assert told[TRAIN_JOB]["view"] == {"kind": "whole", "size": 64}


def test_list_tells_which_checkpoint_is_published_and_why(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    key = f"models/{put_model(storage)}/model.json"
    described = json.loads(storage.read(key))
    described["record"]["published"] = {
        "step": 150,
        "total_steps": 200,
        "reason": "the last checkpoint, for nothing is held out",
        "measure": "anomaly_kid",
        "value": 0.04321,
        "deviation": 0.0081,
        "compared_with": "training",
        "anomalies": 14,
    }
    storage.write(key, json.dumps(described).encode())
    [_, row] = run_cli(["models", "list", "--store", str(tmp_path)]).stdout.splitlines()
    assert row.endswith(
        "640           step 150 of 200, KID 0.0432 ± 0.0081 to 14 training anomalies; the last checkpoint, for nothing"
        " is held out"
    )


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(release_file(empty_release_state()))
    return path


def import_args(file: Path, store: Path) -> list[str]:
    options = ["--id", "authors", "--class-name", "crack", "--dataset", "tiles", "--size", "64"]
    return ["models", "import-release", str(file), *options, "--store", str(store)]


def test_import_release_makes_a_model_that_generate_takes(tmp_path: Path, release: Path) -> None:
    store = tmp_path / "store"
    version = put_dataset(LocalStorage(store)).version
    assert run_cli(import_args(release, store)).stdout.splitlines() == [
        f"authors: imported, makes crack for tiles@{version}",
        "next: agan submit generate --model authors --count 1600",
    ]
    assert run_cli(["models", "list", "--store", str(store)]).stdout.splitlines() == [
        "model    class  px  data set            images shown  published",
        f"authors  crack  64  tiles@{version}  unknown       unknown",
    ]
    submit = ["submit", "generate", "--model", "authors", "--dry-run", "--json", "--store", str(store)]
    assert json.loads(run_cli(submit).stdout)[0]["spec"]["model"] == "authors"


def test_import_release_tells_programs_what_models_list_tells(tmp_path: Path, release: Path) -> None:
    store = tmp_path / "store"
    put_dataset(LocalStorage(store))
    told = json.loads(run_cli([*import_args(release, store), "--json"]).stdout)
    assert told.pop("model") == "authors"
    assert told == json.loads(run_cli(["models", "list", "--store", str(store), "--json"]).stdout)["authors"]


def test_import_release_ends_with_the_exit_code_of_what_is_wrong(tmp_path: Path, release: Path) -> None:
    store = tmp_path / "store"
    put_dataset(LocalStorage(store))
    assert "gone.pth: no such file" in run_cli(import_args(tmp_path / "gone.pth", store), exit_code=3).stderr
    assert "got 'a/b'" in run_cli([*import_args(release, store), "--id", "a/b"], exit_code=2).stderr
    release.write_bytes(b"no state dict")
    assert "latest_net_G.pth: holds more than" in run_cli(import_args(release, store), exit_code=6).stderr
    release.write_bytes(release_file(empty_release_state()))
    run_cli(import_args(release, store))
    stderr = run_cli(import_args(release, store), exit_code=2).stderr
    assert stderr == f"error: --id: model authors is in {store} already; choose another id\n"
