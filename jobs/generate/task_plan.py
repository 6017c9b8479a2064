"""The plan of a generate job: what decides its images, without torch."""

from collections.abc import Sequence
from importlib.metadata import version

from infra.storage.digest import sha256
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import TaskPlan

QUALITY = "quality: "
"""Beginning of the names of sums that count what the gate did."""

DECIDING = ("agan", "numpy", "opencv-python-headless", "torch")
"""Packages whose version decides which bytes come out: with another version an image may differ."""


def plan_of(spec: GenerateSpec, models_sha256: Sequence[str]) -> TaskPlan:
    """The tasks of a generate job, and all that decides an image; whatever changes no image is left out.

    Args:
        models_sha256: of the weights of the job's model, and of those that add to its images.
    """
    decisive = spec.model_dump_json(exclude={"resources": {"workers", "max_failures"}})
    return TaskPlan(
        digest=sha256(decisive.encode()),
        count=spec.count,
        per_task=spec.images_per_shard,
        models_sha256=list(models_sha256),
        versions={name: version(name) for name in DECIDING},
    )
