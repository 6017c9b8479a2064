import errno
import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from anomaly_gan.samples.sample import decode_png
from cli.main import app
from infra.storage.local import LocalStorage
from tests.support.helpers import run_cli
from tests.support.sources import mvtec_files


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "belt"
    for path, data in mvtec_files(normal=8, crack=4).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def imported(source: Path, store: str, *more: str) -> str:
    args = ["data", "import", str(source), "--name", "belt", "--format", "mvtec", "--store", store, *more]
    return str(run_cli(args).stdout)


def tried(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_import_prints_the_version_the_counts_and_the_next_command(source: Path, store: str) -> None:
    lines = imported(source, store).splitlines()
    assert re.fullmatch(r"belt@[0-9a-f]{12} imported", lines[0])
    assert lines[1:] == [
        "SPLIT  normal  crack",
        "train  6       3",
        "test   2       1",
        "pictures left out: 0",
        "next: agan data show belt -o sheet.png",
    ]
    assert "was already there" in imported(source, store)


def test_import_hints_at_groups_only_where_none_were_given(source: Path, store: str) -> None:
    args = ["data", "import", str(source), "--name", "belt", "--format", "mvtec", "--store", store]
    assert "hint: every picture is its own group" in run_cli(args).stderr
    assert "hint:" not in run_cli([*args, "--groups", r"\d+"]).stderr


def test_import_takes_native_or_a_number_of_pixels(source: Path, store: str) -> None:
    data = json.loads(imported(source, store, "--resolution", "native", "--json"))
    assert data["resolution"] == "native"
    data = json.loads(imported(source, store, "--resolution", "32", "--json"))
    assert data["resolution"] == 32 and data["counts"]["train"] == {"normal": 6, "crack": 3}
    args = ["data", "import", str(source), "--name", "b", "--format", "mvtec", "--store", store]
    assert "got 'big'" in run_cli([*args, "--resolution", "big"], exit_code=2).stderr


def test_import_refuses_bad_items_with_exit_6_and_max_bad_lists_them(source: Path, store: str) -> None:
    (source / "train/good/003.png").write_bytes(b"x")
    args = ["data", "import", str(source), "--name", "belt", "--format", "mvtec", "--store", store]
    result = run_cli(args, exit_code=6)
    assert "1 bad items" in result.stderr and "train/good/003.png: not a readable picture" in result.stderr
    result = run_cli([*args, "--max-bad", "1"])
    assert "pictures left out: 1" in result.stdout
    assert "left out: train/good/003.png: not a readable picture" in result.stderr


def test_import_of_a_missing_folder_ends_with_exit_3(tmp_path: Path, store: str) -> None:
    args = ["data", "import", str(tmp_path / "gone"), "--name", "b", "--format", "mvtec", "--store", store]
    assert "gone: no such folder" in run_cli(args, exit_code=3).stderr


def test_check_counts_what_it_looked_at_and_ends_with_exit_6_on_a_problem(source: Path, store: str) -> None:
    imported(source, store)
    assert run_cli(["data", "check", "belt", "--store", store]).stdout.endswith(
        ": 12 samples in 2 shards, 0 problems\n"
    )
    storage = LocalStorage(Path(store))
    (shard,) = (entry.key for entry in storage.list("datasets/") if "train-" in entry.key)
    storage.write(shard, storage.read(shard).replace(b"crack", b"crock", 1))
    result = run_cli(["data", "check", "belt", "--store", store, "--json"], exit_code=6)
    assert json.loads(result.stdout)["problems"][0].startswith("train-000000.tar: sha256 differs")


def test_show_writes_a_sheet(source: Path, store: str, tmp_path: Path) -> None:
    imported(source, store)
    sheet = tmp_path / "sheet.png"
    run_cli(["data", "show", "belt", "-o", str(sheet), "--tile", "64", "--store", store])
    assert decode_png(sheet.read_bytes(), "sheet").ndim == 3
    bad = str(tmp_path / "no" / "sheet.png")
    assert "cannot be written" in run_cli(["data", "show", "belt", "-o", bad, "--store", store], exit_code=2).stderr


def test_list_names_every_data_set(source: Path, store: str) -> None:
    assert run_cli(["data", "list", "--store", store]).stdout == f"no data sets yet: {store} is not there\n"
    imported(source, store)
    header, row = run_cli(["data", "list", "--store", store]).stdout.splitlines()
    assert header.split() == ["NAME", "VERSION", "SAMPLES", "PIXELS", "CLASSES"]
    assert re.fullmatch(r"belt +[0-9a-f]{12} +12 +512 +crack", row)
    (entry,) = json.loads(run_cli(["data", "list", "--store", store, "--json"]).stdout)
    assert entry["name"] == "belt"


def test_render_makes_a_folder_that_imports_by_its_groups(tmp_path: Path, store: str) -> None:
    folder = tmp_path / "demo"
    sizes = ["--normal", "8", "--per-class", "4", "--classes", "cloth_strip,screw_a", "--size", "64"]
    assert f"{folder}: 16 pictures" in run_cli(["data", "render", str(folder), *sizes]).stdout
    args = ["--format", "mvtec", "--groups", "groups.csv", "--resolution", "native", "--json"]
    data = json.loads(run_cli(["data", "import", str(folder), "--name", "demo", "--store", store, *args]).stdout)
    assert data["classes"] == ["cloth_strip", "screw_a"]
    assert data["gray"] is True
    assert sum(sum(counts.values()) for counts in data["counts"].values()) == 16


def test_import_of_no_folder_is_refused(store: str) -> None:
    result = tried("data", "import", "", "--name", "x", "--store", store)
    assert (result.exit_code, "the folder to import has no name" in result.stderr) == (2, True)


def test_a_pipe_among_the_pictures_is_refused_by_name_and_read_by_nobody(source: Path, store: str) -> None:
    os.mkfifo(source / "train" / "good" / "pipe.png")
    result = tried("data", "import", str(source), "--name", "x", "--store", store)
    assert result.exit_code == 6
    assert "train/good/pipe.png: is no file but a pipe, a socket or a device; remove it" in result.stderr


def test_names_that_are_not_utf_8_and_names_that_a_terminal_obeys_are_shown_escaped(source: Path, store: str) -> None:
    folder = os.fsencode(source / "train" / "good")
    for name in (b"bad\xff.png", b"red\x1b[31m.png", "left\u202eto.png".encode()):
        with open(folder + b"/" + name, "wb") as file:
            file.write(b"no picture")
    result = tried("data", "import", str(source), "--name", "x", "--store", store)
    assert result.exit_code == 6
    assert "train/good/bad\\udcff.png: its name is not UTF-8; rename the file" in result.stderr
    assert "train/good/red\\x1b[31m.png: not a readable picture" in result.stderr
    assert "train/good/left\\u202eto.png: not a readable picture" in result.stderr


def test_a_full_folder_for_temporary_files_is_told_with_what_to_do(
    source: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def fill(path: Path, data: bytes) -> int:
        if path.suffix == ".sample":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        result = tried("data", "import", str(source), "--name", "x", "--store", store)
    assert result.exit_code == 7
    assert "No space left on device" in result.stderr and "set TMPDIR to a folder on a larger disk" in result.stderr


def test_out_of_memory_is_told_as_that_and_never_as_bad_data(
    source: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("anomaly_gan.formats.reading.pictures.orientation_of", exhausted)
        result = tried("data", "import", str(source), "--name", "x", "--store", store)
    assert (result.exit_code, "error: out of memory" in result.stderr) == (1, True)


def test_list_of_a_store_that_is_not_there_says_so(tmp_path: Path) -> None:
    result = tried("data", "list", "--store", str(tmp_path / "gone"))
    assert result.stdout.strip() == f"no data sets yet: {tmp_path / 'gone'} is not there"


def test_list_tells_of_a_damaged_data_set_and_lists_the_others(source: Path, store: str) -> None:
    for name in ("a", "b"):
        tried("data", "import", str(source), "--name", name, "--store", store)
    (Path(store) / "datasets" / "a" / "latest.json").write_text("{")
    result = tried("data", "list", "--store", store)
    assert result.exit_code == 0 and "\nb " in result.stdout
    assert "warning: data set a: latest.json is damaged" in result.stderr


def test_import_takes_the_options_that_say_what_is_meant(source: Path, store: str) -> None:
    given = {"--orientation": "stored", "--mask-colour": "255=dent", "--depth-range": "1%:99%", "--picture-by": "name"}
    options = [word for pair in given.items() for word in pair]
    result = tried("data", "import", str(source), "--name", "x", "--store", store, "--allow-large", *options)
    assert result.exit_code == 0, result.stderr
    for option in given:
        refused = tried("data", "import", str(source), "--name", "x", "--store", store, option, "wrong")
        assert refused.exit_code == 2 and option in refused.stderr
