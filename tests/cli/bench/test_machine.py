"""What this machine gives, as commands."""

import json

from tests.support.benchmarks import KEYS
from tests.support.helpers import run_cli


def test_help_measures_processes_and_needs_no_spec() -> None:
    data = json.loads(run_cli(["bench", "help", "--repeats", "1", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1}
    assert data["medians"]["agan --help"]["sec"] > 0
    assert data["medians"]["python -c pass"]["sec"] > 0


def test_ceilings_are_operations_of_products_and_bytes_of_a_copy() -> None:
    sizes = ["--side", "64", "--copied-mib", "1", "--repeats", "1", "--threads", "1"]
    data = json.loads(run_cli(["bench", "ceilings", *sizes, "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "side": 64, "copied_mib": 1}
    assert list(data["medians"]) == ["matrix product, bf16", "matrix product, fp32", "copy"]
    assert all(value > 0 for row in data["medians"].values() for value in row.values())
    assert [list(row) for row in data["medians"].values()] == [["tflop_per_sec"], ["tflop_per_sec"], ["gb_per_sec"]]
