"""The benchmarks of a generate job and its parts, as commands."""

import json

import pytest

from tests.support.benchmarks import KEYS, measured
from tests.support.helpers import run_cli


def test_masks_are_counted_by_the_second_and_planning_by_its_memory() -> None:
    data = json.loads(run_cli(["bench", "masks", "--count", "50", "--repeats", "1", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "count": 50}
    cases = ["free", "fixed", "apart", "region", "anchors"]
    assert list(data["medians"]) == [*cases, "rationality", "planning"]
    assert all(row["masks_per_sec"] > 0 for row in data["medians"].values())
    assert set(data["ratios"]) == {f"slowest of {', '.join(cases)}: masks per second", "growth, MiB"}
    assert data["medians"]["planning"]["growth_mib"] >= 0


def test_encoding_is_counted_by_the_picture() -> None:
    data = json.loads(run_cli(["bench", "encoding", "--repeats", "1", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["medians"]["picture"]["images_per_sec"] > 0
    assert 0 < data["medians"]["picture"]["bytes"] < 512 * 512


def test_commits_are_counted_by_the_task_for_each_size_of_a_job() -> None:
    data = json.loads(run_cli(["bench", "commits", "--tasks", "3", "--tasks", "50", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "tasks": [3, 50]}
    assert list(data["medians"]) == ["3 tasks", "50 tasks"]
    large = data["medians"]["50 tasks"]
    assert large["put_per_task"] == pytest.approx(2 + 6 / 50)  # the plan twice, and what describes the whole
    assert large["get_per_task"] == pytest.approx(1 + 26 / 50)  # the plan, the model, and the shards of 24 images
    assert large["list_per_task"] == pytest.approx(2 / 50)
    assert large["peak_mib"] < 300 and large["growth_mib"] < large["peak_mib"], "the driver imports no torch"
    told = data["ratios"]["memory of a driver, MiB"]
    assert told == {"value": pytest.approx(large["peak_mib"], abs=64), "aim": "below 954"}


def test_forward_measures_the_generator_alone() -> None:
    data = measured("forward")
    assert data["medians"]["forward"]["images_per_sec"] > 0
    assert data["ratios"] == {}


def test_generation_is_compared_with_the_generator_and_the_encoding_alone() -> None:
    args = ["bench", "generate", "--size", "64", "--batch-size", "2", "--repeats", "1", "--json"]
    data = json.loads(run_cli([*args, "--set", "train.model.generator_widths=[4, 4]"]).stdout)
    assert list(data) == KEYS
    speeds = {name: row["images_per_sec"] for name, row in data["medians"].items()}
    slower = min(speeds["generator alone"], speeds["encoding alone"])
    assert data["ratios"]["whole over the slower of both"]["value"] == pytest.approx(speeds["whole"] / slower)
