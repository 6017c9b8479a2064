"""A kind of job that has no command of its own."""

import json

import pytest

from infra.storage.local import LocalStorage
from jobs.kinds import KINDS
from jobs.record.context import load_spec
from tests.support.builders_jobs import EndingCluster
from tests.support.helpers import run_cli
from tests.support.toy_kind import TOY, ToySpec

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def toy(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of job that is only in the list, and a word that it asks the store for."""
    monkeypatch.setitem(KINDS, "toy", TOY)
    storage.write("words/color", b"colour")


def test_a_new_kind_is_among_the_commands_after_those_there_were() -> None:
    listed = run_cli(["submit", "--help"]).stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in listed if line.strip()] == [
        "train",
        "tune",
        "generate",
        "evaluate",
        "study",
        "toy",
    ]
    assert "toy       Counts the letters of a word." in run_cli(["submit", "--help"]).stdout


def test_its_command_has_the_options_of_all_kinds() -> None:
    shown = run_cli(["submit", "toy", "--help"]).stdout
    assert shown.startswith("Usage: agan submit toy [OPTIONS]\n\n  Counts the letters of a word.\n")
    for option in ("--workers", "--spec", "--set", "--dry-run", "--follow", "--store", "--cluster", "--json"):
        assert option in shown


@pytest.mark.usefixtures("no_cluster")
def test_it_has_a_dry_run() -> None:
    (told,) = json.loads(run_cli(["submit", "toy", "--set", "word=color", "--dry-run", "--json"]).stdout)
    assert (told["spec"]["word"], told["sources"]["word"], told["forecast"]) == ("colour", "store", None)


def test_it_is_submitted_and_names_what_follows(storage: LocalStorage, cluster: EndingCluster) -> None:
    result = run_cli(["submit", "toy", "--set", "word=color", "--workers", "2"])
    (job_id,) = cluster.jobs
    assert result.stdout.splitlines()[-1] == f"then:   agan results pull {job_id} -o {job_id}"
    assert "memory:" not in result.stderr
    spec = load_spec(storage, job_id)
    assert isinstance(spec, ToySpec) and (spec.word, spec.resources.workers) == ("colour", 2)


def test_a_kind_that_is_nowhere_is_no_command() -> None:
    assert "No such command 'paint'" in run_cli(["submit", "paint"], exit_code=2).stderr
