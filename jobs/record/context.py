"""What every process of a job needs: its spec, the store, the settings; crosses processes as plain values."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.errors import DataError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.damage import stored_json
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.kinds import parse_spec
from jobs.record.progress import ProgressReporter
from jobs.record.status import job_key
from jobs.spec.specs import JobSpec

Spec = TypeVar("Spec", bound=JobSpec, covariant=True)
Wanted = TypeVar("Wanted", bound=JobSpec)


@dataclass(frozen=True)
class JobContext(Generic[Spec]):
    """A job of one kind: `JobContext[TrainSpec]` is a train job's."""

    job_id: str
    spec: Spec
    settings: Settings
    storage: Storage

    def reporter(self) -> ProgressReporter:
        return ProgressReporter(self.storage, self.job_id)

    def to_plain(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "spec": self.spec.model_dump(mode="json"),
            "settings": self.settings.model_dump(),
        }


def context_from_plain(raw: dict[str, Any], spec: type[Wanted]) -> JobContext[Wanted]:
    """The context in another process, which knows whose work it does.

    Args:
        raw: what `to_plain` gave.
        spec: of the job's kind.
    """
    settings = Settings.model_validate(raw["settings"])
    return JobContext(raw["job_id"], spec.model_validate(raw["spec"]), settings, open_storage(settings))


def load_context(settings: Settings, job_id: str) -> JobContext[JobSpec]:
    """The context of a job by its spec in the store.

    Raises:
        NotFoundError: there is no such job.
        UsageError: it is of an unknown kind.
    """
    storage = open_storage(settings)
    return JobContext(job_id, load_spec(storage, job_id), settings, storage)


def load_memory_estimate(storage: Storage, job_id: str) -> MemoryEstimate | None:
    """What was estimated when the job was submitted; None where nothing was, as for a trial of a search."""
    try:
        document = _spec_document(storage, job_id)
    except NotFoundError:
        return None
    return MemoryEstimate(**document["memory_estimate"]) if document.get("memory_estimate") else None


def load_spec(storage: Storage, job_id: str) -> JobSpec:
    """What a job was asked to do; raises as `load_context`."""
    return parse_spec(_spec_document(storage, job_id)["spec"])


def _spec_document(storage: Storage, job_id: str) -> dict[str, Any]:
    name = f"job {job_id}: spec.json"
    document = stored_json(storage.read(job_key(job_id, "spec.json")), name, "submit the job again")
    if not isinstance(document, dict) or "spec" not in document:
        raise DataError(f"{name}: is damaged (it holds no spec); submit the job again")
    return document


def load_spec_of(wanted: type[Wanted], storage: Storage, job_id: str, where: str) -> Wanted:
    """What a job was asked to do that must be of one kind.

    Args:
        where: begins the sentence that refuses a job of another kind, such as "resume: job train-1".

    Raises:
        NotFoundError: there is no such job.
        UsageError: it is a job of another kind.
    """
    spec = load_spec(storage, job_id)
    if not isinstance(spec, wanted):
        raise UsageError(f"{where} is a {spec.kind} job; name a {wanted.kind_name()} job")
    return spec
