import json
import re

import pytest

from infra.storage.local import LocalStorage
from tests.support.builders_jobs import TRAIN_JOB, EndingCluster, put_model
from tests.support.helpers import run_cli

TRAIN = ["submit", "train", "--dataset", "tiles", "--class", "crack"]


@pytest.mark.usefixtures("storage", "no_cluster")
def test_a_dry_run_of_a_generation_tells_images_bytes_time_and_gpu_hours() -> None:
    args = ["submit", "generate", "--model", TRAIN_JOB, "--count", "1000000", "--gpus-per-worker", "1", "--dry-run"]
    shown = run_cli(args).stdout
    assert re.search(r"^images +1,000,000$", shown, re.M) and re.search(r"^shards +10,000$", shown, re.M)
    assert re.search(r"^size +[\d,.]+ MiB \([\d,]+ bytes an image\)$", shown, re.M)
    assert re.search(r"^time +.*with all workers, at the speed of this machine's CPU$", shown, re.M)
    assert re.search(r"^GPU hours +at most [\d,.]+;", shown, re.M)
    (told,) = json.loads(run_cli([*args, "--json"]).stdout)
    assert told["forecast"]["images"] == 1_000_000 and told["forecast"]["gpu_hours"] > 0
    (training,) = json.loads(run_cli([*TRAIN, "--dry-run", "--json"]).stdout)
    assert training["forecast"] is None


def test_several_models_and_classes_become_a_generate_job_each(storage: LocalStorage, cluster: EndingCluster) -> None:
    holes = put_model(storage, "train-20260301-120000-0000", class_name="hole")
    args = ["submit", "generate", "--model", TRAIN_JOB, "--class", "hole", "--dataset", "tiles", "--per-class", "7"]
    ids = json.loads(run_cli([*args, "--json"]).stdout)["job_ids"]
    asked = [json.loads(storage.read(f"jobs/{job_id}/spec.json"))["spec"] for job_id in ids]
    assert [(one["model"], one["count"]) for one in asked] == [(TRAIN_JOB, 7), (holes, 7)]
    assert len(cluster.jobs) == 2


def test_mixed_models_become_one_generate_job(storage: LocalStorage, cluster: EndingCluster) -> None:
    holes = put_model(storage, "train-20260301-120000-0000", class_name="hole")
    args = ["submit", "generate", "--model", TRAIN_JOB, "--class", "hole", "--dataset", "tiles", "--mix"]
    (job_id,) = json.loads(run_cli([*args, "--json"]).stdout)["job_ids"]
    asked = json.loads(storage.read(f"jobs/{job_id}/spec.json"))["spec"]
    assert [asked["model"], *(one["model"] for one in asked["added"])] == [TRAIN_JOB, holes]
    assert len(cluster.jobs) == 1


@pytest.mark.usefixtures("storage", "no_cluster")
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--model", TRAIN_JOB, "--mix"], 2, "--mix: takes two models or more, got 1; repeat --model or --class"),
        (["--model", TRAIN_JOB, "--model", TRAIN_JOB, "--mix"], 2, "added: two models make class crack"),
        (["--class", "dent"], 3, "class dent: no model makes it; see `agan models list`"),
        (["--model", TRAIN_JOB, "--dataset", "tiles"], 2, "--dataset: chooses among the models of a --class"),
        (["--model", TRAIN_JOB, "--output", "window"], 2, "flag: generation.output: Input should be 'view' or 'frame'"),
        (
            ["--model", TRAIN_JOB, "--best-of", "9"],
            2,
            "generation.quality: best_of must not be above tries, got 9 and 4",
        ),
    ],
)
def test_a_generation_that_cannot_be_is_refused(args: list[str], code: int, message: str) -> None:
    assert message in run_cli(["submit", "generate", *args], code).stderr
