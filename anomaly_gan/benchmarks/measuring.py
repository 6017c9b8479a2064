"""How everything is measured: in turn, after a warm-up, by medians."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch

from anomaly_gan.progress import Progress
from anomaly_gan.training.memory_use import peak_resident_bytes, resident_bytes

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ratio:
    """The ratio of two medians of one run, and what it should be with the defaults of its command."""

    value: float
    aim: str


@dataclass(frozen=True)
class Figures:
    """What a benchmark found.

    Attributes:
        rounds: what was measured -> its measures, each with a value per round; the unit ends the measure's name.
        ratios: what is compared.
    """

    rounds: Mapping[str, Mapping[str, list[float]]]
    ratios: Mapping[str, Ratio]

    def medians(self) -> dict[str, dict[str, float]]:
        return {name: {key: median(values) for key, values in row.items()} for name, row in self.rounds.items()}


def in_turn(runs: Mapping[K, Callable[[], T]], repeats: int, progress: Progress) -> dict[K, list[T]]:
    """What each run returned in each round: a, b, a, b, ..., so that a noisy machine hits all of them equally.

    One more round comes first, as a warm-up; what it returned is dropped.
    """
    returned: dict[K, list[T]] = {name: [] for name in runs}
    for number in range(repeats + 1):
        for name, run in runs.items():
            value = run()
            if number:
                returned[name].append(value)
        progress(number + 1, repeats + 1)
    return returned


def timed(run: Callable[[], object], device: torch.device = CPU) -> Callable[[], float]:
    """A function that calls `run` and returns the seconds until the device had done all of it."""

    def seconds() -> float:
        _wait_for(device)
        started = time.perf_counter()
        run()
        _wait_for(device)
        return time.perf_counter() - started

    return seconds


def repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    """A function that calls `run` many times in a row: one quick call would be lost in the calls around it."""

    def all_of_them() -> None:
        for _ in range(times):
            run()

    return all_of_them


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def growth_mib(run: Callable[[], T]) -> tuple[float, T]:
    """(MiB by which the process was larger at its largest than before, what `run` returned)."""
    before = resident_bytes()
    returned = run()
    return max(peak_resident_bytes() - before, 0) / 2**20, returned


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """Within it torch computes on this number of CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
