"""What a generate job will take, from a few of its images made here."""

import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from anomaly_gan.samples.sample import encode_sample
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.shards import write_shard
from jobs.generate.shard_maker import ShardMaker
from jobs.record.context import JobContext
from jobs.spec.specs import GenerateSpec

TRIED = 4
"""Images that are made to measure how long one takes."""


@dataclass(frozen=True)
class Forecast:
    """What a whole job will take.

    Attributes:
        tasks: each one shard.
        size_bytes: of all shards.
        seconds: with all workers busy, each as fast as one CPU worker of this machine; start-up not counted.
        gpu_hours: the same in GPUs, so an upper bound: a GPU is faster than what was measured.
    """

    images: int
    tasks: int
    bytes_per_image: int
    size_bytes: int
    images_per_sec: float
    seconds: float
    gpu_hours: float

    def figures(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        duration = timedelta(seconds=round(self.seconds))
        rows = [
            ("images", f"{self.images:,}"),
            ("shards", f"{self.tasks:,}"),
            ("size", f"{self.size_bytes / 2**20:,.1f} MiB ({self.bytes_per_image:,} bytes an image)"),
            ("time", f"{duration} with all workers, at the speed of this machine's CPU"),
            ("speed", f"{self.images_per_sec:.1f} images/s on each worker"),
        ]
        if self.gpu_hours:
            rows.append(("GPU hours", f"at most {self.gpu_hours:,.1f}; a GPU is faster than what was measured here"))
        return rows


def forecast(spec: GenerateSpec, settings: Settings) -> Forecast:
    """Make the job's first images on this machine's CPU, and write nothing.

    Raises:
        NotFoundError, DataError: as the job itself would.
    """
    resources = spec.resources.model_copy(update={"gpus_per_worker": 0})
    local = spec.model_copy(update={"resources": resources})
    maker = ShardMaker(JobContext("forecast", local, settings, open_storage(settings)))
    tried = range(min(TRIED, spec.count))
    maker.images(tried[:1])  # the first pass of a network is slower
    started = time.perf_counter()
    made = maker.images(tried)
    size = len(write_shard((one.sample.key, encode_sample(one.sample)) for one in made).data)
    each_sec, each_bytes = (time.perf_counter() - started) / len(made), size // len(made)
    seconds = spec.count * each_sec / spec.resources.workers
    return Forecast(
        images=spec.count,
        tasks=-(-spec.count // spec.images_per_shard),
        bytes_per_image=each_bytes,
        size_bytes=spec.count * each_bytes,
        images_per_sec=1 / each_sec,
        seconds=seconds,
        gpu_hours=seconds * spec.resources.workers * spec.resources.gpus_per_worker / 3600,
    )
