"""A tune job's spec and the store: each trial takes from its data set what a train job takes."""

from infra.storage.protocol import Storage
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import TuneSpec
from jobs.train.fill_in import fill_in_training


def complete(resolved: ResolvedSpec[TuneSpec], storage: Storage) -> ResolvedSpec[TuneSpec]:
    """A tune job's spec with what the store knows; arguments and errors as in `jobs.kinds.complete`."""
    return fill_in_training(resolved, storage)
