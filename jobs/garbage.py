"""What no reader will ever see: parts that no commit names, and uploads that were never completed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from infra.storage import Storage, Unfinished
from jobs.control import current_status
from jobs.record import job_key, list_statuses
from jobs.tasks import PARTS, committed, read_commits

UPLOAD_AGE_SEC = 24 * 3600.0
"""An unfinished upload outside ended jobs may still go on until it is so old."""


@dataclass(frozen=True)
class Garbage:
    """Objects to delete and uploads to give up.

    Attributes:
        parts: (key, bytes).
    """

    parts: tuple[tuple[str, int], ...]
    uploads: tuple[Unfinished, ...]

    @property
    def size_bytes(self) -> int:
        return sum(size for _, size in self.parts)


def find_garbage(storage: Storage, job_id: str | None = None) -> Garbage:
    """Of one job or of all that have ended; jobs that run are left alone.

    Raises:
        NotFoundError: no such job.
    """
    asked = [job_id] if job_id is not None else [status.job_id for status in list_statuses(storage)]
    ended = [one for one in asked if current_status(storage, one).state.is_final]
    parts = tuple(part for one in ended for part in _orphans(storage, one))
    folders = tuple(job_key(one, "") for one in ended)
    prefix = "" if job_id is None else job_key(job_id, "")
    uploads = tuple(
        upload
        for upload in storage.unfinished(prefix)
        if upload.key.startswith(folders) or (job_id is None and time.time() - upload.begun_at > UPLOAD_AGE_SEC)
    )
    return Garbage(parts, uploads)


def remove(storage: Storage, garbage: Garbage) -> None:
    for key, _ in garbage.parts:
        storage.delete(key)
    for upload in garbage.uploads:
        storage.abandon(upload)


def _orphans(storage: Storage, job_id: str) -> Iterator[tuple[str, int]]:
    stored = storage.list(job_key(job_id, PARTS))
    if stored:
        named = {job_key(job_id, one.part) for one in read_commits(storage, job_id, committed(storage, job_id))}
        yield from ((entry.key, entry.size_bytes) for entry in stored if entry.key not in named)
