"""`agan submit study`: lists with commas, and what all detectors are given."""

import json
from typing import Any

import pytest

from infra.storage.local import LocalStorage
from tests.support.builders_jobs import put_shards
from tests.support.builders_studies import generated_sample, put_job_of
from tests.support.helpers import run_cli


def asked(*args: str) -> dict[str, Any]:
    """The spec of a dry run."""
    (told,) = json.loads(run_cli(["submit", "study", "--dataset", "tiles", *args, "--dry-run", "--json"]).stdout)
    spec: dict[str, Any] = told["spec"]
    return spec


@pytest.mark.usefixtures("no_cluster")
def test_arms_and_detectors_are_lists_with_commas_or_repeated(storage: LocalStorage) -> None:
    crack, hole = put_job_of(storage, "crack"), put_job_of(storage, "hole")
    put_shards(storage, [[generated_sample(0, "crack")]], crack)
    spec = asked(
        *("--arms", f"none,real+generated:{crack},{hole}@0.25,flips", "--arm", f"generated:{crack},{hole}"),
        *("--learners", "segmenter,mask_rcnn", "--learner", "faster_rcnn", "--seeds", "2"),
        *("--learner-set", "turns=false", "--detector-steps", "9"),
    )
    assert spec["arms"] == ["none", f"real+generated:{crack},{hole}@0.25", "flips", f"generated:{crack},{hole}"]
    assert [(one["name"], one["steps"], one["turns"]) for one in spec["learners"]] == [
        ("segmenter", 9, False), ("mask_rcnn", 9, False), ("faster_rcnn", 9, False),
    ]  # fmt: skip
    assert (spec["seeds"], spec["classes"]) == (2, ["crack", "hole"])


@pytest.mark.usefixtures("storage", "no_cluster")
def test_several_numbers_of_steps_are_a_training_each() -> None:
    spec = asked("--arms", "flips", "--learners", "segmenter,faster_rcnn", "--detector-steps", "5,9")
    assert [(one["name"], one["steps"]) for one in spec["learners"]] == [
        ("segmenter", 5), ("segmenter", 9), ("faster_rcnn", 5), ("faster_rcnn", 9),
    ]  # fmt: skip
    assert [one["steps"] for one in asked("--arms", "flips", "--detector-steps", "7")["learners"]] == [7]


@pytest.mark.usefixtures("storage", "no_cluster")
def test_a_study_may_be_of_one_class_few_pictures_and_small_windows() -> None:
    spec = asked("--arms", "flips", "--class", "hole", "--real", "2", "--window", "64")
    assert (spec["classes"], spec["real"], spec["view"]) == (["hole"], 2, {"kind": "window", "size": 64})
    assert [one["name"] for one in spec["learners"]] == ["segmenter"]


@pytest.mark.usefixtures("storage", "no_cluster")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "spec: arms: Field required"),
        (
            ["--arms", "flips", "--learner-set", "turns"],
            "--learner-set turns: expected KEY=VALUE, such as --learner-set",
        ),
        (["--arms", "flips", "--learner-set", "name=x"], "--learner-set: name is what --learners says; leave it out"),
        (["--arms", "flips", "--learner-set", "stepz=3"], "flag: learners.0.stepz: no such key; did you mean"),
        (["--arms", "flips", "--detector-steps", "9,many"], "--detector-steps: expected whole numbers with commas"),
        (["--arms", "flips", "--detector-steps", "9,9"], "segmenter is named twice; give each other steps, or make"),
        (["--arms", "flips", "--learners", "yolo"], "detector.name: unknown detector, got 'yolo'; use one of"),
    ],
)
def test_a_study_that_cannot_be_says_why(args: list[str], message: str) -> None:
    result = run_cli(["submit", "study", "--dataset", "tiles", *args, "--dry-run"], exit_code=2)
    assert message in result.stderr
