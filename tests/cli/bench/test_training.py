"""The benchmarks of training, as commands."""

import pytest

from tests.support.benchmarks import measured


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
