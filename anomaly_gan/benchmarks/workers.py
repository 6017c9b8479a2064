"""The training loop on one worker and on two: processes with cores of their own, joined by gloo on loopback."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
import torch.distributed as dist

from anomaly_gan.benchmarks.looping import windows
from anomaly_gan.benchmarks.measuring import CPU, Figures, Ratio, in_turn
from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.progress import Progress
from anomaly_gan.training.joining import check_ranks
from anomaly_gan.training.loop import StepReport

WORKERS = {"1 worker": 1, "2 workers": 2}
STEPS = 5
"""Steps trained in one round of measuring."""

T = TypeVar("T")


def measure_workers(config: TrainConfig, view: ViewConfig, threads: int, repeats: int, progress: Progress) -> Figures:
    """Pairs per second of one and of two workers, and their share of waiting for batches; two over one.

    All processes are there all the time; of the two groups one trains and one is idle.

    Args:
        config: its batch_size is that of one worker.
        threads: CPU threads of each worker; also its cores, where there are enough.
    """
    check_ranks(config, 1)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        groups = {name: _Group(count, stack) for name, count in WORKERS.items()}
        for name, count in WORKERS.items():
            whole = config.model_copy(update={"batch_size": count * config.batch_size})
            groups[name].call(partial(_start, Path(folder) / name, count, threads, whole, view, repeats + 1))
        reports = in_turn({name: group.next_report for name, group in groups.items()}, repeats, progress)
    rounds = {
        name: {
            "images_per_sec": [report.images_per_sec for report in of_group],
            "data_wait": [report.data_wait for report in of_group],
        }
        for name, of_group in reports.items()
    }
    one, two = (median(row["images_per_sec"]) for row in rounds.values())
    return Figures(rounds, {"2 workers / 1 worker": Ratio(two / one, "at least 1.7")})


def cores_of(rank: int, world_size: int, threads: int) -> set[int]:
    """The cores that a worker keeps to; none where there are too few, or where the system cannot bind it to them."""
    if not hasattr(os, "sched_setaffinity"):
        return set()
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[rank * threads : (rank + 1) * threads]) if len(cores) >= world_size * threads else set()


class _Group:
    """Processes that train together."""

    def __init__(self, count: int, stack: ExitStack) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._workers = [stack.enter_context(ProcessPoolExecutor(1, mp_context=spawn)) for _ in range(count)]

    def call(self, function: Callable[[int], T]) -> list[T]:
        """What `function` of the rank returns in each process; they run at the same time."""
        called = [worker.submit(function, rank) for rank, worker in enumerate(self._workers)]
        return [future.result() for future in called]

    def next_report(self) -> StepReport:
        """The next report of rank 0, once every rank has one."""
        return self.call(_next_report)[0]


_windows: Iterator[StepReport]
"""The run of one rank, in the process of that worker."""


def _start(
    meeting: Path, world_size: int, threads: int, config: TrainConfig, view: ViewConfig, count: int, rank: int
) -> None:
    global _windows
    cores = cores_of(rank, world_size, threads)
    if cores:
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
    if world_size > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=world_size)
    _windows = windows(config, view, CPU, STEPS, count)


def _next_report(_: int) -> StepReport:
    return next(_windows)
