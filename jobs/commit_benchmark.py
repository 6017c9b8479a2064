"""What the bookkeeping of a generate job costs: its images are replaced by a few bytes, all else is real."""

import io
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from anomaly_gan.benchmarks.measuring import Figures, Ratio, Told, growth_mib, timed
from anomaly_gan.data import Sample, encode_sample
from infra.settings import Settings
from infra.shards import write_shard
from infra.storage import StoredObject
from infra.storage_local import LocalStorage
from jobs.context import JobContext
from jobs.generate import generate
from jobs.manifest import load_manifest
from jobs.record import job_key
from jobs.shard_maker import plan_of
from jobs.spec import GenerateSpec
from jobs.tasks import commit, open_plan

JOB = "generate-20260101-000000-0000"
PER_TASK = 100
SIDE_PX = 16
SUMS = dict.fromkeys(("background_mae_pasted", "background_mae_raw", "in_mask_change", "mask_hit"), (0.5, PER_TASK))
LISTED = 1000
"""Objects that one LIST of S3 names."""


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


def measure_commits(tasks: Sequence[int], told: Told) -> Figures:
    """Of jobs of so many tasks: seconds and requests for a task, and the growth of the driver.

    The workers' part (`commit`) is done here, one task after the other; then the driver of a job of which every task is
    done runs in a process of its own: it reads all commits and publishes.
    """
    rounds = {}
    for number, count in enumerate(tasks):
        with TemporaryDirectory() as folder:
            root = Path(folder)
            committing_sec, requests = _commit_all(root, count)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                publishing_sec, driver_requests, grown_mib = process.submit(_drive, root, count).result()
            requests.update(driver_requests)
            manifest = root / job_key(JOB, "manifest.json")
            rounds[f"{count} tasks"] = {
                "commit_sec_per_task": [committing_sec / count],
                "publish_sec_per_task": [publishing_sec / count],
                **{f"{name}_per_task": [requests[name] / count] for name in ("put", "get", "list")},
                "growth_mib": [grown_mib],
                "manifest_mib": [manifest.stat().st_size / 2**20],
            }
        told(number + 1, len(tasks))
    grown = max(row["growth_mib"][0] for row in rounds.values())
    return Figures(rounds, {"growth, MiB": Ratio(grown, "below 1024")})


def _context(root: Path, tasks: int) -> tuple[JobContext, CountingStorage]:
    spec = GenerateSpec(model="none", count=tasks * PER_TASK, images_per_shard=PER_TASK)
    storage = CountingStorage(root)
    return JobContext(JOB, spec, Settings(store=storage.uri), storage), storage


def _commit_all(root: Path, tasks: int) -> tuple[float, Counter[str]]:
    """(seconds, requests) of what the workers of the job do beside making images."""
    context, storage = _context(root, tasks)
    data = _shard()
    open_plan(storage, JOB, plan_of(context))

    def commit_each() -> None:
        for task in range(tasks):
            commit(storage, JOB, task, data, PER_TASK, SUMS)

    return timed(commit_each)(), storage.requests


def _drive(root: Path, tasks: int) -> tuple[float, Counter[str], float]:
    """(seconds, requests, MiB by which the process grew) of the job's driver."""
    context, storage = _context(root, tasks)
    with redirect_stdout(io.StringIO()):
        grown_mib, sec = growth_mib(timed(partial(generate, context)))
    assert len(load_manifest(LocalStorage(root), JOB).outputs) >= tasks
    return sec, storage.requests, grown_mib


def _shard() -> bytes:
    image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[4:8, 4:8] = 1
    sample = Sample("gen-00000000", image, {"none": mask}, meta={"class": "none", "dataset": "none"})
    return write_shard([(sample.key, encode_sample(sample))]).data
