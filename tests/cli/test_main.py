"""The whole app: its help, its error boundary, what it imports.

The files of tests/golden/help are made by: UPDATE_GOLDEN=1 python -m pytest tests/cli/test_main.py
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app
from infra.errors import ClusterError, DataError
from tests.support.builders_jobs import TRAIN_JOB
from tests.support.helpers import ROOT, run_cli

GOLDEN = ROOT / "tests" / "golden" / "help"
PLAIN = {"COLUMNS": "80"}
HEAVY = ("torch", "ray", "boto3", "cv2", "numpy", "rich")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(words after `agan`, command) of the app, its groups and its commands."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


COMMANDS = dict(walk(typer.main.get_command(app)))
LEAVES = {path: command for path, command in COMMANDS.items() if not getattr(command, "commands", {})}


def golden_file(path: tuple[str, ...]) -> Path:
    return GOLDEN / f"{'-'.join(('agan', *path))}.txt"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(("agan", *path)))
def test_the_help_of_a_command_is_its_golden_file(path: tuple[str, ...]) -> None:
    shown = run_cli([*path, "--help"], env=PLAIN).stdout
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.mkdir(parents=True, exist_ok=True)
        golden_file(path).write_text(shown)
    assert shown == golden_file(path).read_text(), "if this is meant: see the head of this file"


def test_every_golden_file_is_that_of_a_command() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {golden_file(path).name for path in COMMANDS}


def test_there_is_a_command_for_everything() -> None:
    assert {" ".join(path) for path in LEAVES} >= {
        *("data import", "data check", "data show", "data list", "data render"),
        *("submit train", "submit tune", "submit generate", "submit evaluate", "submit study"),
        *("jobs list", "jobs status", "jobs logs", "jobs wait", "jobs cancel"),
        *("results show", "results pull", "models list", "demo"),
        *(f"weights {name}" for name in ("list", "verify", "add")),
        *(f"cluster {name}" for name in ("start", "status", "stop", "dashboard", "up", "down")),
    }


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: " ".join(path))
def test_every_command_prints_json_for_programs(path: tuple[str, ...]) -> None:
    options = {option for parameter in LEAVES[path].params for option in parameter.opts}
    assert "--json" in options


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: " ".join(path))
def test_every_option_says_what_it_does(path: tuple[str, ...]) -> None:
    silent = [parameter.name for parameter in LEAVES[path].params if not getattr(parameter, "help", None)]
    assert silent == []


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from cli.main import app
for path in ([], ["submit"], ["submit", "train"], ["jobs", "wait"], ["data", "import"], ["cluster", "up"], ["demo"]):
    try:
        app([*path, "--help"])
    except SystemExit as end:
        assert end.code == 0
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["jobs", "nonsense"],
        ["jobs", "status"],
        ["jobs", "list", "--colour"],
        ["submit", "train", "--images", "many"],
        ["data", "show", "tiles"],
        ["cluster", "start", "--cpus", "0"],
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_exit_2_and_a_hint(args: list[str]) -> None:
    result = run_cli(args, exit_code=2)
    assert result.stdout == ""
    assert re.search(r"^Try 'agan.* -h' for help\.$", result.stderr, re.MULTILINE)
    assert result.stderr.count("Error: ") == 1


# --- the error boundary


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every command that reads a store fails so."""

    def open_storage(settings: object) -> None:
        raise error

    monkeypatch.setattr("infra.storage.open.open_storage", open_storage)


def test_an_expected_error_is_one_line_and_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ClusterError("cluster x: not reachable; check --cluster"))
    result = run_cli(["jobs", "list", "--store", "s"], exit_code=8)
    assert (result.stdout, result.stderr) == ("", "error: cluster x: not reachable; check --cluster\n")


def test_traceback_shows_where_an_expected_error_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, DataError("shard 1: is broken; import it again"))
    result = run_cli(["--traceback", "jobs", "list", "--store", "s"], exit_code=6)
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("error: shard 1: is broken; import it again\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        run_cli(["jobs", "list", "--store", "s"])


# --- where the store is


def test_without_a_store_every_way_to_name_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli(["jobs", "list"], exit_code=2)
    assert result.stderr.startswith("error: store: not set; give --store URI, set AGAN_STORE, or write `store:`")


def test_the_store_comes_from_flag_environment_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agan.yaml").write_text("store: ./from-file\n")

    def store_of(args: list[str], env: dict[str, str] | None = None) -> str:
        stderr = run_cli(["jobs", "status", TRAIN_JOB, *args], exit_code=3, env=env).stderr
        return str(re.findall(r"not in (\S+);", stderr)[0])

    assert store_of([]) == str(tmp_path / "from-file")
    assert store_of([], {"AGAN_STORE": "./from-env"}) == str(tmp_path / "from-env")
    assert store_of(["--store", "from-flag"], {"AGAN_STORE": "./from-env"}) == str(tmp_path / "from-flag")


def test_s3_is_reached_by_flags_before_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--s3-endpoint", "http://s3:9000", "--s3-region", "eu", "--s3-profile", "lab", "--weights", "s3://b/w"]
    seen: list[Any] = []

    def open_storage(settings: Any) -> None:
        seen.append(settings)
        raise DataError("enough")

    monkeypatch.setattr("infra.storage.open.open_storage", open_storage)
    run_cli([*flags, "jobs", "list", "--store", "s3://b"], exit_code=6)
    run_cli(["jobs", "list", "--store", "s3://b"], exit_code=6, env={"AGAN_S3_REGION": "us"})
    first, second = seen
    assert (first.s3_endpoint, first.s3_region, first.s3_profile) == ("http://s3:9000", "eu", "lab")
    assert first.weights == "s3://b/w" and first.sources["s3_endpoint"] == "flag"
    assert (second.s3_endpoint, second.s3_region) == (None, "us")
