"""What one worker of a generate job does: a task's images, encoded, written and committed."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from anomaly_gan.generation.gate import LIMITS
from anomaly_gan.generation.generate import Generated
from anomaly_gan.samples.provenance import anomalies
from anomaly_gan.samples.sample import Sample, encode_sample
from infra.errors import UsageError
from infra.storage.shards import write_shard
from jobs.generate.layers import load_layers
from jobs.generate.published import is_kept
from jobs.generate.task_plan import QUALITY, plan_of
from jobs.record.context import JobContext
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import TaskCommit, commit


class ShardMaker:
    """Makes tasks by their number; generators and normal images stay in memory from one to the next.

    Several threads may make tasks: one has the network while others plan, measure, encode and write.

    Attributes:
        tasks: the plan of the job as this process would write it, with the models that it has loaded.
    """

    def __init__(self, context: JobContext[GenerateSpec]) -> None:
        self.context = context
        self.spec = context.spec
        self._network = threading.Lock()  # held during a forward pass
        # the cores that Ray keeps for this worker, not all of the machine
        torch.set_num_threads(self.spec.resources.cpus_per_worker)
        self._layers = load_layers(context.storage, self.spec, _device(self.spec))
        self.tasks = plan_of(context.spec, [layer.made_by["model_sha256"] for layer in self._layers])

    def make(self, task: int) -> tuple[TaskCommit, float]:
        """Do a task; a task that is done twice gives the same bytes.

        Returns:
            The commit that counts, which may be that of another attempt, and images per second.
        """
        started = time.perf_counter()
        made = [one for batch in self.batches(task) for one in self.images(batch)]
        shard = write_shard((one.sample.key, encode_sample(one.sample)) for one in made)
        done = commit(self.context.storage, self.context.job_id, task, shard.data, len(made), _sums(made))
        return done, len(made) / (time.perf_counter() - started)

    def images(self, batch: Sequence[int], records: Sequence[Mapping[str, Any]] | None = None) -> list[Generated]:
        """The images of these indices, with all that an auditor needs in their meta.

        Args:
            records: the meta of the same images as they were published, of which the gate's choices are taken.
        """
        # the first layer begins with normal pictures, each further one adds to what those before it made
        made: list[Generated] | None = None
        for number, layer in enumerate(self._layers):
            judged = None
            if records is not None and layer.plan.gate is not None:
                judged = [anomalies(record)[number]["quality"] for record in records]
            made = layer.add(batch, made, self._network, judged)
        assert made is not None
        return made

    def batches(self, task: int) -> Iterator[Sequence[int]]:
        """A task's indices as the network takes them: an image's last bits can depend on its neighbours."""
        items, size = self.tasks.items(task), self.spec.generation.batch_size
        return (items[start : start + size] for start in range(0, len(items), size))

    def rebuild(self, index: int, records: Mapping[int, Mapping[str, Any]]) -> Generated:
        """One image, made among the same neighbours as in the job.

        Args:
            records: index -> meta, of all images of its shard.
        """
        batch = next(batch for batch in self.batches(index // self.tasks.per_task) if index in batch)
        return self.images(batch, [records[each] for each in batch])[index - batch[0]]


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
    # without these two, cuDNN may choose another algorithm each time, which rounds otherwise
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = True  # torch's own choice, whatever the environment says
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def _sums(made: Sequence[Generated]) -> dict[str, tuple[float, int]]:
    """Measure -> (sum, number of anomalies where it is defined); names of what the gate did begin with QUALITY."""
    sums: dict[str, tuple[float, int]] = {}
    for one in made:
        provenance = anomalies(one.sample.meta)
        values = [*(item for each in provenance for item in each["measures"].items()), *_judged(one.sample).items()]
        for name, value in values:
            total, number = sums.get(name, (0.0, 0))
            sums[name] = (total, number) if value is None else (total + value, number + 1)
    return sums


def _judged(sample: Sample) -> dict[str, float]:
    """Whether an image is kept, how many tries its anomalies took, and how many of them broke which limit."""
    tries = [one for anomaly in anomalies(sample.meta) if "quality" in anomaly for one in anomaly["quality"]["tries"]]
    if not tries:
        return {}
    broken = Counter(name for failed in tries for name in failed)
    counts = {
        "kept": is_kept(sample),
        "tries": len(tries),
        "unplaced": sum(anomaly["quality"]["unplaced"] for anomaly in anomalies(sample.meta) if "quality" in anomaly),
        **{f"broke {name}": broken[name] for name in LIMITS},
    }
    return {QUALITY + name: float(count) for name, count in counts.items()}
