"""A train job's spec and the store: what a training takes from its data set, and the job that it goes on from."""

from typing import Any

from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.record.context import load_spec_of
from jobs.record.status import job_key
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import TrainSpec
from jobs.train.checkpoints import CheckpointStore
from jobs.train.fill_in import fill_in_training

CHANGES_NOTHING: Any = {
    "resume": True,
    "resources": True,
    "train": {"compute", "log_every_steps", "sample_every_steps", "checkpoint_every_steps"},
}
"""What a run that goes on from another's checkpoint may change."""


def complete(resolved: ResolvedSpec[TrainSpec], storage: Storage) -> ResolvedSpec[TrainSpec]:
    """A train job's spec with what the store knows; arguments and errors as in `jobs.kinds.complete`."""
    completed = fill_in_training(resolved, storage)
    if completed.spec.resume is not None:
        _check_resume(completed.spec, completed.spec.resume, storage)
    return completed


def _check_resume(spec: TrainSpec, job_id: str, storage: Storage) -> None:
    """Refuse to go on from a job whose checkpoints are not of this run."""
    earlier = load_spec_of(TrainSpec, storage, job_id, f"resume: job {job_id}")
    if CheckpointStore(storage, job_key(job_id, "checkpoints")).latest_step() is None:
        raise UsageError(f"resume: job {job_id} has no checkpoint; leave it out to start anew")
    mine, its = (item.model_dump(mode="json", exclude=CHANGES_NOTHING) for item in (spec, earlier))
    if mine != its:
        raise UsageError(
            f"resume: {_first_difference(mine, its)} differs from job {job_id}'s; only resources, train.compute and"
            " the steps between reports may change"
        )


def _first_difference(mine: dict[str, Any], its: dict[str, Any]) -> str:
    key = next(key for key in mine if mine[key] != its[key])
    if isinstance(mine[key], dict) and isinstance(its[key], dict):
        return f"{key}.{_first_difference(mine[key], its[key])}"
    return key
