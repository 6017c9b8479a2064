"""Specs of small jobs on the data set `tiles`, as a user would ask for them."""

from typing import Any, TypeVar

from infra.storage.protocol import Storage
from jobs.kinds import complete
from jobs.spec.resolve import resolve
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import EvaluateSpec, GenerateSpec, JobSpec, StudySpec, TrainSpec, TuneSpec
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB

Spec = TypeVar("Spec", bound=JobSpec)

SMALL = {"train.batch_size": 2, "train.total_images": 4}

REQUIRED: dict[type[JobSpec], dict[str, Any]] = {
    TrainSpec: {"dataset": "tiles", "class_name": "crack", **SMALL},
    TuneSpec: {"dataset": "tiles", "class_name": "crack", **SMALL},
    GenerateSpec: {"model": TRAIN_JOB},
    EvaluateSpec: {"dataset": "tiles", "generated": GENERATE_JOB},
    StudySpec: {"dataset": "tiles", "arms": ["none", "flips"]},
}


def asked(spec: type[Spec], **sets: Any) -> ResolvedSpec[Spec]:
    """A resolved spec that names `tiles` and `crack`; `a__b=1` sets a.b."""
    flags = REQUIRED[spec] | {key.replace("__", "."): value for key, value in sets.items()}
    return resolve(spec, flags, environ={})


def completed(storage: Storage, spec: type[Spec], **sets: Any) -> ResolvedSpec[Spec]:
    """The same, completed from the store."""
    return complete(asked(spec, **sets), storage)
