"""A store with generated images, and studies on it that are done in this process."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from anomaly_gan.samples.sample import Sample
from infra.settings import Settings
from infra.storage.local import LocalStorage
from infra.storage.protocol import Storage
from jobs.kinds import complete
from jobs.record.context import JobContext
from jobs.spec.resolve import resolve
from jobs.spec.specs import GenerateSpec, StudySpec
from jobs.study import cells
from jobs.study.cells import Order, Workplace
from jobs.study.job import study
from tests.support.builders_jobs import put_model, put_shards, put_spec

TINY_LEARNER = {"name": "segmenter", "steps": 2, "batch_size": 2, "warmup_steps": 1}


def generated_sample(number: int, class_name: str, size: int = 64) -> Sample:
    """A dark spot on grey noise, at another place for each number."""
    image = np.random.default_rng(number).integers(90, 170, (size, size), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[8 + number : 20 + number, 12:30] = 1
    image[mask > 0] //= 6
    return Sample(f"gen-{number:08d}", image, {class_name: mask})


def put_job_of(storage: Storage, class_name: str, images: int = 3, **model: Any) -> str:
    """A generate job of a model of this class that has succeeded; returns its id."""
    job_id, model_id = f"generate-{class_name}", f"train-{class_name}"
    put_model(storage, model_id, class_name=class_name, **model)
    put_spec(storage, job_id, GenerateSpec(model=model_id, count=images))
    put_shards(storage, [[generated_sample(number, class_name) for number in range(images)]], job_id)
    return job_id


def study_spec(storage: Storage, arms: Sequence[str], **flags: Any) -> StudySpec:
    """A completed study of two seeds with a tiny detector; a `__` in a name stands for a dot."""
    given = {"dataset": "tiles", "arms": list(arms), "learners": [TINY_LEARNER], "seeds": 2}
    given |= {key.replace("__", "."): value for key, value in flags.items()}
    return complete(resolve(StudySpec, given, environ={}), storage).spec


class InThisProcess:
    """Trains cells one after the other.

    Attributes:
        done: those that were trained, in their order.
        stop_after: raises KeyboardInterrupt instead of the cell after so many; None = never.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.done: list[Order] = []
        self.stop_after = stop_after

    def __call__(self, place: Workplace, orders: Iterable[Order]) -> Iterator[tuple[Order, str | None]]:
        for order in orders:
            if len(self.done) == self.stop_after:
                raise KeyboardInterrupt
            yield order, cells.train_cell(place, order)
            self.done.append(order)


def run_study(storage: LocalStorage, spec: StudySpec, worker: InThisProcess, job_id: str = "study-1") -> None:
    """The job as the cluster would do it."""
    study(JobContext(job_id, spec, Settings(store=storage.uri), storage), worker)
