"""Two processes with a rank each, joined by gloo on loopback, for tests of what ranks do together.

To start a process takes seconds, so a module starts them once and has them run all its scenarios.
"""

import os
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

RANKS = 2
ANSWER_SEC = 60
"""How long a rank waits for the other one in a collective before it raises."""
HANG_SEC = 150
"""Without any scenario's end, after which the processes are killed."""

Scenario = Callable[[Path], Any]
"""Runs on both ranks at once, one thread each, with a folder that both share; leaves nests of tensors and plain values.

Each has a process group of its own, so one that fails does not spoil the next. Defined at the top of a module.
"""


class TwoRanks:
    """What the scenarios left."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def left_by(self, scenario: Scenario) -> list[Any]:
        """What each rank returned; fails with the tracebacks where one raised or hung."""
        paths = [_outcome(self._folder, scenario, rank) for rank in range(RANKS)]
        outcomes = [torch.load(path, weights_only=True) if path.exists() else {} for path in paths]
        problems = [
            f"rank {rank}: {outcome.get('raised', 'left nothing; this scenario or one before it hung')}"
            for rank, outcome in enumerate(outcomes)
            if "returned" not in outcome
        ]
        assert not problems, f"{scenario.__name__}:\n" + "\n".join(problems)
        return [outcome["returned"] for outcome in outcomes]


def on_two_ranks(scenarios: Sequence[Scenario], folder: Path) -> TwoRanks:
    """Start two processes, run the scenarios one after the other on both, and wait for the end."""
    processes = spawn(_run, (list(scenarios), folder), nprocs=RANKS, join=False)  # type: ignore[no-untyped-call]
    done, since = 0, time.monotonic()
    try:
        while not processes.join(timeout=1) and time.monotonic() - since < HANG_SEC:
            before, done = done, len(list(folder.glob("*.outcome")))
            if done > before:
                since = time.monotonic()
    finally:
        for process in processes.processes:
            process.kill()
    return TwoRanks(folder)


def _run(rank: int, scenarios: Sequence[Scenario], folder: Path) -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for scenario in scenarios:
        path = _outcome(folder, scenario, rank)
        store = f"file://{folder}/{scenario.__name__}.store"
        dist.init_process_group("gloo", store, timedelta(seconds=ANSWER_SEC), RANKS, rank)
        try:
            outcome = {"returned": scenario(folder)}
        except Exception:
            outcome = {"raised": traceback.format_exc()}
        finally:
            dist.destroy_process_group()
        torch.save(outcome, path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)


def _outcome(folder: Path, scenario: Scenario, rank: int) -> Path:
    return folder / f"{scenario.__name__}-{rank}.outcome"
