"""What one worker of a generate job does: a task's images, encoded, written and committed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch

from anomaly_gan.data import encode_sample
from anomaly_gan.exporting.instances import part_boxes
from anomaly_gan.generation import Generated
from anomaly_gan.generation import generate as generate_images
from anomaly_gan.quality import LIMITS
from infra.errors import UsageError
from infra.shards import write_shard
from jobs.context import JobContext
from jobs.datasets import load_index
from jobs.generation_plan import QUALITY, plan_of
from jobs.inputs import load_training_split
from jobs.models import load_model
from jobs.spec import GenerateSpec
from jobs.tasks import TaskCommit, commit


class ShardMaker:
    """The generator and the normal images stay in memory; work comes by task number.

    Several threads may make tasks: one has the network while others encode and write.

    Attributes:
        tasks: as this process would plan the job, with the model that it has loaded.
    """

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self.spec = cast(GenerateSpec, context.spec)
        self._network = threading.Lock()
        torch.set_num_threads(self.spec.resources.cpus_per_worker)
        device = _device(self.spec)
        snapshot = load_model(context.storage, self.spec.model, device)
        assert snapshot.weights_sha256 is not None
        self.tasks = plan_of(context, snapshot.weights_sha256)
        index = load_index(context.storage, snapshot.record["dataset"])
        split = load_training_split(
            context.storage, snapshot.record["dataset"], snapshot.class_name, self.spec.mask_pool
        )
        self._generator = snapshot.generator
        self._plan = split.gated_plan(snapshot.view, self.spec.masks, self.spec.generation)
        self._normal_sha256 = {entry.key: entry.image_sha256 for entry in index.samples}
        self._made_by = {
            "model": self.spec.model,
            "model_sha256": snapshot.weights_sha256,
            "dataset": snapshot.record["dataset"],
            "mask_pool": self.spec.mask_pool,
        }

    def make(self, task: int) -> tuple[TaskCommit, float]:
        """Do a task; (the commit that counts, images per second). Done twice, the bytes are the same."""
        started = time.perf_counter()
        made = [one for batch in self.batches(task) for one in self.images(batch)]
        shard = write_shard((one.sample.key, encode_sample(one.sample)) for one in made)
        done = commit(self.context.storage, self.context.job_id, task, shard.data, len(made), _sums(made))
        return done, len(made) / (time.perf_counter() - started)

    def images(self, batch: Sequence[int]) -> list[Generated]:
        """The images of these indices, with all that an auditor needs in their meta."""
        with self._network:
            made = generate_images(self._plan, batch, self._generator)
        return [self._documented(one) for one in made]

    def batches(self, task: int) -> Iterator[Sequence[int]]:
        """A task's indices as the network takes them: an image's last bits can depend on its neighbours."""
        items, size = self.tasks.items(task), self.spec.generation.batch_size
        return (items[start : start + size] for start in range(0, len(items), size))

    def rebuild(self, index: int) -> Generated:
        """One image, made among the same neighbours as in the job."""
        batch = next(batch for batch in self.batches(index // self.tasks.per_task) if index in batch)
        return self.images(batch)[index - batch[0]]

    def _documented(self, made: Generated) -> Generated:
        meta = {
            **made.sample.meta,
            **self._made_by,
            "normal_sha256": self._normal_sha256[made.sample.meta["normal"]],
            "boxes": part_boxes(made.sample.masks[made.sample.meta["class"]]),
        }
        return replace(made, sample=replace(made.sample, meta=meta))


def _device(spec: GenerateSpec) -> torch.device:
    """Where the network runs, so that the same kind of hardware gives the same bytes every time.

    Raises:
        UsageError: the job is for GPUs, and there is none here.
    """
    gpus = spec.resources.gpus_per_worker
    if not gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(
            f"resources.gpus_per_worker: {gpus}, but torch finds no GPU on this machine; do it on one that has the same"
            " kind of GPU, because others give other bytes"
        )
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = True  # torch's own choice, whatever the environment says
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def _sums(made: Sequence[Generated]) -> dict[str, tuple[float, int]]:
    """Measure -> (sum, number of images where it is defined); what the gate did begins with QUALITY."""
    sums: dict[str, tuple[float, int]] = {}
    for one in made:
        for name, value in {**one.sample.meta["measures"], **_judged(one.sample.meta.get("quality"))}.items():
            total, number = sums.get(name, (0.0, 0))
            sums[name] = (total, number) if value is None else (total + value, number + 1)
    return sums


def _judged(quality: Mapping[str, Any] | None) -> dict[str, float]:
    """Whether an image is kept, how many tries it took, and how many of them broke which limit."""
    if quality is None:
        return {}
    broken = Counter(name for failed in quality["tries"] for name in failed)
    counts = {
        "kept": quality["kept"],
        "tries": len(quality["tries"]),
        "unplaced": quality["unplaced"],
        **{f"broke {name}": broken[name] for name in LIMITS},
    }
    return {QUALITY + name: float(count) for name, count in counts.items()}
