"""The benchmarks as commands: what they print, and what they refuse."""

import json
from statistics import median
from typing import Any

import pytest
import torch

from tests.support.helpers import run_cli

TINY = [
    *("--size", "64", "--batch-size", "2", "--repeats", "1", "--threads", "1"),
    *("--set", "train.model.generator_widths=[8,16,16]", "--set", "train.model.resnet_width=4"),
    *("--set", "train.model.width_mult=0.125", "--set", "train.loss.aware=l2_pixels"),
]
KEYS = ["machine", "versions", "configuration", "medians", "rounds", "ratios"]


def measured(command: str, *more: str) -> dict[str, Any]:
    """The JSON of `agan bench COMMAND`, whose keys are the same for all."""
    data: dict[str, Any] = json.loads(run_cli(["bench", command, *TINY, *more, "--json"]).stdout)
    assert list(data) == KEYS
    assert list(data["machine"]) == ["cpu", "cores", "threads", "gpu", "load_average"]
    assert data["versions"]["torch"] == torch.__version__
    assert (data["machine"]["threads"], data["machine"]["gpu"]) == (1, None)
    assert data["configuration"]["repeats"] == 1 and data["configuration"]["view"]["size"] == 64
    assert data["configuration"]["train"]["model"]["width_mult"] == 0.125
    assert data["medians"] == {
        name: {measure: median(values) for measure, values in row.items()} for name, row in data["rounds"].items()
    }
    return data


def test_step_measures_the_step_and_its_parts() -> None:
    data = measured("step", "--set", "train.loss.aware=network")
    sec = {name: row["sec"] for name, row in data["medians"].items()}
    assert list(sec) == [
        "step",
        "generators, four translations",
        "discriminators, real and generated",
        "discriminators, for the generators",
        "aware network",
        "optimiser of the generators",
        "optimiser of the discriminators",
    ]
    parts = sum(value for name, value in sec.items() if name != "step")
    assert data["medians"]["step"]["images_per_sec"] == pytest.approx(2 / sec["step"])
    assert data["ratios"] == {"step / parts": {"value": pytest.approx(sec["step"] / parts), "aim": "at most 1.15"}}
    assert data["configuration"]["train"]["preset"] == "laptop"


def test_step_beside_cyclegan_compares_both_generators_in_full_networks() -> None:
    data = measured("step", "--cyclegan")
    rows, train = data["medians"], data["configuration"]["train"]
    assert list(rows) == ["CycleGAN", "resnet9", "unet"]
    assert all(row["images_per_sec"] == pytest.approx(2 / row["sec"]) for row in rows.values())
    assert data["ratios"] == {
        f"{name} / CycleGAN": {
            "value": pytest.approx(rows[name]["images_per_sec"] / rows["CycleGAN"]["images_per_sec"]),
            "aim": aim,
        }
        for name, aim in (("resnet9", "at least 1"), ("unet", "at least 4"))
    }
    assert (train["preset"], train["compute"]["precision"]) == ("stable", "fp32")


@pytest.mark.slow
def test_train_compares_two_workers_with_one() -> None:
    data = measured("train")
    one, two = (data["medians"][name] for name in ("1 worker", "2 workers"))
    ratio = two["images_per_sec"] / one["images_per_sec"]
    assert data["ratios"] == {"2 workers / 1 worker": {"value": pytest.approx(ratio), "aim": "at least 1.7"}}
    assert all(0 <= row["data_wait"] <= 1 for row in (one, two))
    assert len(data["configuration"]["cores"]) == 2


def test_data_measures_the_source_alone_and_the_loops_waiting() -> None:
    data = measured("data")
    loop = data["medians"]["training"]
    assert data["medians"]["source alone"]["batches_per_sec"] > 0
    assert loop["batches_per_sec"] > 0
    assert data["ratios"] == {"waiting / training": {"value": loop["data_wait"], "aim": "at most 0.02"}}


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


def test_ceilings_are_operations_of_products_and_bytes_of_a_copy() -> None:
    sizes = ["--side", "64", "--copied-mib", "1", "--repeats", "1", "--threads", "1"]
    data = json.loads(run_cli(["bench", "ceilings", *sizes, "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "side": 64, "copied_mib": 1}
    assert list(data["medians"]) == ["matrix product, bf16", "matrix product, fp32", "copy"]
    assert all(value > 0 for row in data["medians"].values() for value in row.values())
    assert [list(row) for row in data["medians"].values()] == [["tflop_per_sec"], ["tflop_per_sec"], ["gb_per_sec"]]


def test_help_measures_processes_and_needs_no_spec() -> None:
    data = json.loads(run_cli(["bench", "help", "--repeats", "1", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1}
    assert data["medians"]["agan --help"]["sec"] > 0
    assert data["medians"]["python -c pass"]["sec"] > 0


def test_text_shows_medians_and_each_ratio_beside_its_aim() -> None:
    lines = run_cli(["bench", "data", *TINY]).stdout.splitlines()
    assert lines[0].split() == ["medians", "batches_per_sec", "data_wait"]
    assert [line.split("  ")[0] for line in lines[1:3]] == ["source alone", "training"]
    assert lines[-1].startswith("waiting / training  0.0") and lines[-1].endswith("at most 0.02")


def test_a_benchmark_leaves_torchs_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    run_cli(["bench", "data", *TINY, "--threads", str(before + 1)])
    assert torch.get_num_threads() == before


def test_settings_of_the_environment_do_not_change_what_is_measured() -> None:
    data = json.loads(
        run_cli(["bench", "data", *TINY, "--json"], env={"AGAN_SPEC_train__model__generator": "resnet9"}).stdout
    )
    assert data["configuration"]["train"]["model"]["generator"] == "unet"


@pytest.mark.parametrize("command", [["step"], ["step", "--cyclegan"], ["train"], ["data"]], ids=" ".join)
def test_a_batch_that_cannot_be_trained_is_refused(command: list[str]) -> None:
    args = ["--batch-size", "1", "--set", "train.model.generator_norm=batch"]
    assert "batch norm needs 2 pairs" in run_cli(["bench", *command, *args], exit_code=2).stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--set", "train.generator=resnet9"], "no such key; did you mean train.model.generator?"),
        (["--preset", "fast"], "flag: train.preset: "),
        (["--size", "100"], "size must be a power of two"),
    ],
    ids=" ".join,
)
def test_an_option_that_no_spec_can_have_is_refused(args: list[str], told: str) -> None:
    assert told in run_cli(["bench", "step", *args], exit_code=2).stderr


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_cli(["bench", "step", "--device", "cuda"], exit_code=2).stderr == (
        "error: --device: torch sees no GPU here; use cpu\n"
    )


def test_generation_is_compared_with_the_generator_and_the_encoding_alone() -> None:
    args = ["bench", "generate", "--size", "64", "--batch-size", "2", "--repeats", "1", "--json"]
    data = json.loads(run_cli([*args, "--set", "train.model.generator_widths=[4, 4]"]).stdout)
    assert list(data) == KEYS
    speeds = {name: row["images_per_sec"] for name, row in data["medians"].items()}
    slower = min(speeds["generator alone"], speeds["encoding alone"])
    assert data["ratios"]["whole over the slower of both"]["value"] == pytest.approx(speeds["whole"] / slower)
