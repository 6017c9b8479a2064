"""The list of job kinds: all that a new kind needs is a line in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.open import open_storage
from jobs.kinds import KINDS, complete, find_kind, parse_spec
from jobs.operations.resume import retry_job
from jobs.operations.submit import submit
from jobs.record.context import load_context
from jobs.record.status import job_key, load_status
from jobs.spec.resolve import resolve
from jobs.work import dispatch
from tests.support.builders_jobs import FakeCluster
from tests.support.helpers import ROOT
from tests.support.toy_kind import TOY, ToySpec


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_functions_that_complete_and_run_it(name: str) -> None:
    kind = KINDS[name]
    assert kind.spec.kind_name() == name
    assert callable(kind.load_complete()) and callable(kind.load_run())


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_names_the_command_that_follows(name: str) -> None:
    assert "train-1" in KINDS[name].next_step.format(job_id="train-1")


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    message = "^kind: unknown kind of job, got 'paint'; use one of train, generate, evaluate, study, tune$"
    with pytest.raises(UsageError, match=message):
        find_kind("paint")
    with pytest.raises(UsageError, match=message):
        parse_spec({"kind": "paint", "model": "m"})


def test_the_list_itself_loads_neither_torch_nor_ray() -> None:
    code = "import sys, jobs.kinds; sys.exit(bool({'torch', 'ray', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_kind_that_is_only_in_the_list_is_resolved_completed_submitted_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "toy", TOY)
    settings, cluster = Settings(store=str(tmp_path / "store")), FakeCluster()
    storage = open_storage(settings)
    storage.write("words/color", b"colour")
    resolved = complete(resolve(ToySpec, {"word": "color"}, environ={}), storage)
    assert ("word", "colour", "store") in resolved.rows()
    job_id = submit(resolved, settings, cluster)
    assert list(cluster.jobs) == [job_id] and job_id.startswith("toy-")
    assert load_status(storage, job_id).title == "toy"
    dispatch(load_context(settings, job_id))
    assert storage.read(job_key(job_id, "out/letters")) == b"6"
    again = retry_job(job_id, settings, cluster)
    assert load_context(settings, again).spec == resolved.spec
