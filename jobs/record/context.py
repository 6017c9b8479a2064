"""What every process of a job needs: its spec, the store, the settings; crosses processes as plain values."""

import json
from dataclasses import dataclass
from typing import Any

from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.errors import NotFoundError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.record.progress import ProgressReporter
from jobs.record.status import job_key
from jobs.spec.specs import JobSpec, parse_spec


@dataclass(frozen=True)
class JobContext:
    job_id: str
    spec: JobSpec
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


def context_from_plain(raw: dict[str, Any]) -> JobContext:
    """The context in another process."""
    settings = Settings.model_validate(raw["settings"])
    return JobContext(raw["job_id"], parse_spec(raw["spec"]), settings, open_storage(settings))


def load_context(settings: Settings, job_id: str) -> JobContext:
    """The context of a job by its spec in the store.

    Raises:
        NotFoundError: there is no such job.
    """
    storage = open_storage(settings)
    return JobContext(job_id, load_spec(storage, job_id), settings, storage)


def load_memory_estimate(storage: Storage, job_id: str) -> MemoryEstimate | None:
    """What was estimated when the job was submitted; None where nothing was, as for a trial of a search."""
    try:
        document = json.loads(storage.read(job_key(job_id, "spec.json")))
    except NotFoundError:
        return None
    return MemoryEstimate(**document["memory_estimate"]) if document.get("memory_estimate") else None


def load_spec(storage: Storage, job_id: str) -> JobSpec:
    """What a job was asked to do; raises NotFoundError."""
    return parse_spec(json.loads(storage.read(job_key(job_id, "spec.json")))["spec"])
