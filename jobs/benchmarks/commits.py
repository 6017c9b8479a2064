"""What the bookkeeping of a generate job costs: its images are replaced by a few bytes, all else is real."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from anomaly_gan.benchmarks.measuring import Figures, Ratio, timed
from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.generation.description import DESCRIPTION, ModelDescription
from anomaly_gan.progress import Progress
from anomaly_gan.samples.sample import Sample, encode_sample
from infra.storage.local import LocalStorage
from infra.storage.shards import write_shard
from jobs.benchmarks.driver import JOB, MODEL, PER_TASK, SUMS, Driven, context_of, drive_resumed, drive_undisturbed
from jobs.generate.task_plan import plan_of
from jobs.record.status import job_key
from jobs.tasks.commits import commit, open_plan

SIDE_PX = 16
WEIGHTS_SHA256 = "0" * 64


def measure_commits(tasks: Sequence[int], progress: Progress) -> Figures:
    """Seconds and requests for a task, and the memory of the driver, for jobs of each number of tasks.

    The workers' part (`commit`) is done here, one task after the other. Two drivers follow, each in a process of its
    own: one that hands tasks to actors which do nothing, and one of a job of which every task is done, which reads all
    commits and publishes.
    """
    rounds = {}
    for number, count in enumerate(tasks):
        with TemporaryDirectory() as folder:
            root = Path(folder)
            committing_sec, requests = _commit_all(root, count)
            undisturbed, resumed = (_in_process(drive, root, count) for drive in (drive_undisturbed, drive_resumed))
            requests.update(resumed.requests)
            manifest = root / job_key(JOB, "manifest.json")
            rounds[f"{count} tasks"] = {
                "commit_sec_per_task": [committing_sec / count],
                "hand_out_sec_per_task": [undisturbed.sec / count],
                "publish_sec_per_task": [resumed.sec / count],
                **{f"{name}_per_task": [requests[name] / count] for name in ("put", "get", "list")},
                "growth_mib": [max(undisturbed.grown_mib, resumed.grown_mib)],
                "peak_mib": [max(undisturbed.peak_mib, resumed.peak_mib)],
                "manifest_mib": [manifest.stat().st_size / 2**20],
            }
        progress(number + 1, len(tasks))
    peak = max(row["peak_mib"][0] for row in rounds.values())
    return Figures(rounds, {"memory of a driver, MiB": Ratio(peak, "below 954")})


def _in_process(drive: Callable[[Path, int], Driven], root: Path, tasks: int) -> Driven:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(drive, root, tasks).result()


def _commit_all(root: Path, tasks: int) -> tuple[float, Counter[str]]:
    """(seconds, requests) of what the workers of the job do beside making images."""
    model = ModelDescription("none", ViewConfig(), TrainConfig(), {}, WEIGHTS_SHA256)
    LocalStorage(root).write(f"models/{MODEL}/{DESCRIPTION}", model.to_bytes())
    context, storage = context_of(root, tasks)
    data = _shard()
    open_plan(storage, JOB, plan_of(context.spec, [WEIGHTS_SHA256]))

    def commit_each() -> None:
        for task in range(tasks):
            commit(storage, JOB, task, data, PER_TASK, SUMS)

    return timed(commit_each)(), storage.requests


def _shard() -> bytes:
    image = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[4:8, 4:8] = 1
    sample = Sample("gen-00000000", image, {"none": mask}, meta={"class": "none", "model": "none", "dataset": "none"})
    return write_shard([(sample.key, encode_sample(sample))]).data
