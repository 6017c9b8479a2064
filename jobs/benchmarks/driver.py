"""The driver of a generate job in a process of its own, which imports what a driver does and nothing more."""

import io
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from infra.settings import Settings
from infra.storage.local import LocalStorage
from infra.storage.protocol import StoredObject
from jobs.generate.job import collect, generate
from jobs.record.context import JobContext
from jobs.record.manifest import load_manifest
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import PARTS, TaskCommit
from jobs.tasks.hand_out import hand_out
from jobs.tasks.ledger import Ledger

JOB = "generate-20260101-000000-0000"
MODEL = "none"
PER_TASK = 100
SUMS = dict.fromkeys(("background_mae_pasted", "background_mae_raw", "in_mask_change", "mask_hit"), (0.5, PER_TASK))
LISTED = 1000
"""Objects that one LIST of S3 names."""
ACTORS, AT_A_TIME = 64, 2


class CountingStorage(LocalStorage):
    """A local folder that counts what would be requests to S3, by their names there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.requests: Counter[str] = Counter()

    def read(self, key: str) -> bytes:
        self.requests["get"] += 1
        return super().read(key)

    def write(self, key: str, data: bytes) -> None:
        self.requests["put"] += 1
        super().write(key, data)

    def create(self, key: str, data: bytes) -> bool:
        self.requests["put"] += 1
        return super().create(key, data)

    def list(self, prefix: str) -> list[StoredObject]:
        found = super().list(prefix)
        self.requests["list"] += max(-(-len(found) // LISTED), 1)
        return found


def context_of(root: Path, tasks: int) -> tuple[JobContext[GenerateSpec], CountingStorage]:
    """The job of a benchmark; its model is a description alone."""
    spec = GenerateSpec(model=MODEL, count=tasks * PER_TASK, images_per_shard=PER_TASK)
    storage = CountingStorage(root)
    return JobContext(JOB, spec, Settings(store=storage.uri), storage), storage


@dataclass(frozen=True)
class Driven:
    """What a driver took.

    Attributes:
        requests: to the store.
        peak_mib: the most that the process had in memory, everything counted.
    """

    sec: float
    requests: Counter[str]
    grown_mib: float
    peak_mib: float


def drive_resumed(root: Path, tasks: int) -> Driven:
    """Read the commits of a job of which every task is done, and publish."""
    context, storage = context_of(root, tasks)
    before, started = _resident_mib(), time.perf_counter()
    with redirect_stdout(io.StringIO()):
        generate(context)
    sec = time.perf_counter() - started
    assert len(load_manifest(LocalStorage(root), JOB).outputs) >= tasks
    return Driven(sec, storage.requests, _peak_mib() - before, _peak_mib())


def drive_undisturbed(root: Path, tasks: int) -> Driven:
    """Hand all tasks out to actors that do nothing, and collect their commits."""
    context, storage = context_of(root, tasks)
    before, started = _resident_mib(), time.perf_counter()
    ledger = Ledger(tasks)
    actors = [_Actor() for _ in range(ACTORS)]
    with redirect_stdout(_Nowhere()):
        collect(context, ledger, hand_out(actors, range(tasks), AT_A_TIME, cluster=_Cluster()), ACTORS * AT_A_TIME)
    assert not ledger.missing()
    return Driven(time.perf_counter() - started, storage.requests, _peak_mib() - before, _peak_mib())


class _Nowhere(io.StringIO):
    """Output that takes no memory."""

    def write(self, text: str) -> int:
        return len(text)


class _Answer:
    """What a call of an actor will have returned."""

    def __init__(self, value: object) -> None:
        self.value = value


class _Cluster:
    """Stands in Ray's place: every answer is there at once."""

    def wait(self, answers: Sequence[_Answer], num_returns: int) -> tuple[Sequence[_Answer], Sequence[_Answer]]:
        return answers[:num_returns], answers[num_returns:]

    def get(self, answer: _Answer) -> object:
        return answer.value


class _Actor:
    """Says that it has made what it was asked for."""

    @property
    def ready(self) -> "_Method":
        return _Method(lambda: None)

    @property
    def make(self) -> "_Method":
        return _Method(_made)


class _Method:
    def __init__(self, call: Any) -> None:
        self._call = call

    def remote(self, *args: int) -> _Answer:
        return _Answer(self._call(*args))


def _made(task: int) -> tuple[dict[str, Any], float]:
    part = f"{PARTS}part-{task:08d}-{task % 2**32:08x}.tar"
    digest = f"{task:064x}"
    commit = TaskCommit(task=task, part=part, size_bytes=10240, sha256=digest, items=PER_TASK, sums=SUMS)
    return commit.model_dump(), 1.0


def _resident_mib() -> float:
    return float(psutil.Process().memory_info().rss / 2**20)


def _peak_mib() -> float:
    """The most memory of this program alone; the figure of `getrusage` includes that of the program that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _resident_mib()
    [kib] = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(kib) / 1024
