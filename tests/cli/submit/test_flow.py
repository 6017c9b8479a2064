"""What the commands of all kinds have in common: options in, dry run or jobs out."""

import json
import re
from pathlib import Path

import pytest

from infra.storage.local import LocalStorage
from jobs.record.status import JobState, load_status
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, EndingCluster
from tests.support.helpers import run_cli

TRAIN = ["submit", "train", "--dataset", "tiles", "--class", "crack"]


def rows(stdout: str) -> dict[str, tuple[str, str]]:
    """key -> (value, source) of a printed spec."""
    parts = (re.split(r" {2,}", line) for line in stdout.splitlines()[1:])
    return {key: (value, source) for key, value, source in parts}


@pytest.mark.usefixtures("storage", "no_cluster")
def test_dry_run_prints_each_value_with_its_source_and_starts_nothing(storage: LocalStorage) -> None:
    before = [entry.key for entry in storage.list("")]
    spec = Path("spec.yaml")
    spec.write_text("train: {seed: 5, total_images: 100}")
    args = [*TRAIN, "--spec", str(spec), "--images", "64", "--set", "train.loss.lambda_1=0.5", "--dry-run"]
    result = run_cli(args, env={"AGAN_SPEC_train__optim__lr_g": "1e-3"})
    assert re.split(r" {2,}", result.stdout.splitlines()[0]) == ["key", "value", "source"]
    shown = rows(result.stdout)
    assert shown["store"] == (storage.uri, "environment")
    assert shown["kind"] == ("train", "default")
    assert shown["train.seed"] == ("5", "file (spec.yaml)")
    assert shown["train.optim.lr_g"] == ("0.001", "environment")
    assert shown["train.total_images"] == ("64", "flag")
    assert shown["train.loss.lambda_1"] == ("0.5", "flag")
    assert shown["train.loss.lambda_cycle"] == ("1.0", "default")
    assert shown["view.size"] == ("64", "data set")
    assert re.fullmatch(r"tiles@[0-9a-f]{12}", shown["dataset"][0])
    assert [entry.key for entry in storage.list("")] == before


@pytest.mark.usefixtures("storage", "no_cluster")
def test_dry_run_as_json_holds_spec_sources_and_settings() -> None:
    args = [*TRAIN, "--class", "hole", "--preset", "paper", "--batch-size", "8", "--dry-run", "--json"]
    first, second = json.loads(run_cli(args).stdout)
    assert (first["spec"]["class_name"], second["spec"]["class_name"]) == ("crack", "hole")
    assert first["spec"]["train"]["loss"]["cycle_inside"] == 1.0
    assert first["sources"]["train.loss.cycle_inside"] == "preset paper"
    assert first["sources"]["train.batch_size"] == "flag"
    assert first["sources"]["store"] == "environment" and first["settings"]["store"].endswith("store")


@pytest.mark.usefixtures("storage", "no_cluster")
def test_the_spec_of_a_dry_run_can_be_submitted_again() -> None:
    (first,) = json.loads(run_cli([*TRAIN, "--images", "64", "--dry-run", "--json"]).stdout)
    Path("again.json").write_text(json.dumps(first["spec"]))
    (again,) = json.loads(run_cli(["submit", "train", "--spec", "again.json", "--dry-run", "--json"]).stdout)
    assert again["spec"] == first["spec"]


@pytest.mark.usefixtures("storage", "no_cluster")
@pytest.mark.parametrize(
    ("args", "key", "value"),
    [
        (["tune", "--dataset", "tiles", "--class", "crack", "--trials", "3"], "trials", 3),
        (["generate", "--model", TRAIN_JOB, "--count", "7", "--seed", "5"], "count", 7),
        (["evaluate", "--dataset", "tiles", "--generated", GENERATE_JOB], "generated", GENERATE_JOB),
    ],
)
def test_every_kind_has_a_dry_run(args: list[str], key: str, value: object) -> None:
    (told,) = json.loads(run_cli(["submit", *args, "--dry-run", "--json"]).stdout)
    assert told["spec"][key] == value and told["spec"]["kind"] == args[0]


@pytest.mark.usefixtures("storage", "no_cluster")
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["train", "--class", "crack"], 2, "spec: dataset: Field required"),
        (["train", "--dataset", "tiles"], 2, "spec: class_name: Field required"),
        ([*TRAIN[1:], "--preset", "turbo"], 2, "flag: train.preset: Input should be"),
        ([*TRAIN[1:], "--set", "train.loss.lambda_1=-1"], 2, "flag: train.loss.lambda_1: Input should be greater"),
        ([*TRAIN[1:], "--set", "nonsense"], 2, "--set nonsense: expected KEY=VALUE"),
        ([*TRAIN[1:], "--set", "no.such=1"], 2, "flag: no: no such key"),
        ([*TRAIN[1:], "--spec", "gone.yaml"], 2, "gone.yaml: No such file"),
        ([*TRAIN[1:], "--workers", "3"], 2, "train.batch_size: 16 pairs cannot be shared by 3 workers"),
        ([*TRAIN[1:], "--class", "hole", "--follow"], 2, "--follow: watches one job"),
        (["train", "--dataset", "tiles", "--class", "dent"], 2, "class_name: 'dent' is not in data set tiles"),
        (["train", "--dataset", "gone", "--class", "crack"], 3, "data set gone: not in"),
        (["generate", "--model", "gone"], 3, f"model gone: not in STORE; there are: {TRAIN_JOB}"),
        (["evaluate", "--dataset", "tiles", "--generated", "gone"], 3, "job gone: not in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_before_anything_starts(
    args: list[str], code: int, message: str, storage: LocalStorage
) -> None:
    result = run_cli(["submit", *args], exit_code=code)
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {message.replace('STORE', storage.uri)}")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("storage", "no_cluster")
def test_the_second_class_is_checked_before_the_first_is_started() -> None:
    assert "'dent' is not in" in run_cli([*TRAIN, "--class", "dent"], exit_code=2).stderr


def test_a_submission_names_the_job_and_the_next_commands(cluster: EndingCluster) -> None:
    result = run_cli([*TRAIN, "--workers", "2"])
    (job_id,) = cluster.jobs
    assert result.stdout.splitlines() == [
        f"submitted {job_id}",
        f"watch:  agan jobs logs -f {job_id}",
        f"wait:   agan jobs wait {job_id}",
        f"then:   agan submit generate --model {job_id} --count 1600",
    ]
    assert "using the local head node" in result.stderr


def test_several_classes_become_a_job_each(cluster: EndingCluster, storage: LocalStorage) -> None:
    told = json.loads(run_cli([*TRAIN, "--class", "hole", "--json"]).stdout)
    assert told == {"job_ids": list(cluster.jobs), "store": storage.uri, "cluster": cluster.url}
    titles = [load_status(storage, job_id).title.rpartition(" ")[2] for job_id in told["job_ids"]]
    assert titles == ["crack", "hole"]


@pytest.mark.parametrize(
    ("end", "code"),
    [(JobState.SUCCEEDED, 0), (JobState.FAILED, 1), (JobState.CANCELLED, 4), (JobState.LOST, 5)],
)
def test_follow_shows_the_log_and_ends_with_the_code_of_the_recorded_state(
    cluster: EndingCluster, end: JobState, code: int
) -> None:
    cluster.end = end
    result = run_cli([*TRAIN, "--follow"], exit_code=code)
    (job_id,) = cluster.jobs
    assert result.stdout == "at work\n"
    assert result.stderr.splitlines()[-2:] == [f"submitted {job_id}", f"{job_id}: {end}"]
    told = json.loads(run_cli([*TRAIN, "--follow", "--json"], exit_code=code).stdout)
    assert len(told["job_ids"]) == 1


def test_a_cluster_that_is_too_small_ends_with_exit_8(cluster: EndingCluster) -> None:
    result = run_cli([*TRAIN, "--workers", "8"], exit_code=8)
    assert "error: resources: the job needs 8 CPUs, the cluster has 4; lower --workers" in result.stderr
    assert cluster.jobs == {}


def test_a_refused_submission_ends_with_exit_8_and_stays_in_the_list(cluster: EndingCluster) -> None:
    cluster.refuses = "cluster x: refused the job"
    assert run_cli([*TRAIN], exit_code=8).stderr.endswith("error: cluster x: refused the job\n")
    assert "failed" in run_cli(["jobs", "list"]).stdout


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_the_memory_of_a_training_is_told_before_it_starts(cluster: EndingCluster, dry: list[str]) -> None:
    told = "memory: 2.5 GiB at the peak of a step, 1.0 at rest, for each worker"
    assert told in run_cli([*TRAIN, *dry]).stderr
    assert "memory:" not in run_cli(["submit", "generate", "--model", TRAIN_JOB, *dry]).stderr
