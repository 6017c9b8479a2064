"""A study of one class from the store, in this process: the same spec, data and checks as a train job."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from anomaly_gan.studies.learning import Study, StudyData, run_study
from anomaly_gan.training.loop import StepReport
from infra.storage.protocol import Storage
from jobs.kinds import complete
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.training_split import load_training_split
from jobs.spec.resolve import resolve
from jobs.spec.specs import TrainSpec


def study_class(
    storage: Storage,
    flags: Mapping[str, Any],
    sets: Mapping[str, str],
    images: int,
    on_report: Callable[[StepReport], None],
) -> tuple[TrainSpec, Study]:
    """Train and measure as the spec of `agan submit train` with these flags says.

    Args:
        flags, sets: as `resolve` takes them.
        images: generated images that are measured, made from normal images of the test split.
        on_report: sees every report of the run.

    Raises:
        UsageError, NotFoundError: as `agan submit train` refuses.
    """
    spec = complete(resolve(TrainSpec, flags, sets=sets), storage).spec
    split = load_training_split(storage, spec.dataset, spec.class_name, spec.mask_pool, spec.real)
    held_out = load_samples(storage, load_index(storage, spec.dataset), split="test", classes=[])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = StudyData(split.pool, split.normals, split.abnormals, held_out)
    return spec, run_study(data, spec.view, spec.train, device, images, on_report)
