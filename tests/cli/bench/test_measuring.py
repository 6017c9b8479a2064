"""What all benchmarks print, and leave as it was."""

import pytest
import torch

from tests.support.benchmarks import TINY
from tests.support.helpers import run_cli


def test_text_shows_medians_and_each_ratio_beside_its_aim() -> None:
    lines = run_cli(["bench", "data", *TINY]).stdout.splitlines()
    assert lines[0].split() == ["medians", "batches_per_sec", "data_wait"]
    assert [line.split("  ")[0] for line in lines[1:3]] == ["source alone", "training"]
    assert lines[-1].startswith("waiting / training  0.0") and lines[-1].endswith("at most 0.02")


def test_a_benchmark_leaves_torchs_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    run_cli(["bench", "data", *TINY, "--threads", str(before + 1)])
    assert torch.get_num_threads() == before


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_cli(["bench", "step", "--device", "cuda"], exit_code=2).stderr == (
        "error: --device: torch sees no GPU here; use cpu\n"
    )
