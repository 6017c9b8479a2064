"""`agan bench` on networks of a few weights."""

import json
from statistics import median
from typing import Any

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
