"""The train spec that the options of a benchmark stand for, and what they refuse."""

import json

import pytest

from tests.support.benchmarks import TINY
from tests.support.helpers import run_cli


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
