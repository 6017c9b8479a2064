"""What no reader will ever see: parts that nothing names, and uploads that were never completed.

Of a job that has published, nothing can begin to count any more: what its manifest does not name goes at once. A job
that has ended otherwise can be resumed at any moment, or an actor of it may still work although its driver is dead: so
only what is older than `ATTEMPT_AGE_SEC` goes, and a commit that loses its part all the same is found by the driver.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from infra.errors import DataError, NotFoundError
from infra.storage.protocol import Storage, Unfinished
from jobs.operations.control import current_status
from jobs.record.manifest import is_published, load_manifest
from jobs.record.status import job_key, list_job_ids, load_status
from jobs.tasks.commits import PARTS, committed, read_commits

ATTEMPT_AGE_SEC = 3600.0
"""Age from which a part without a commit is garbage.

An attempt waits far less between the two, with all its requests to a store that does not answer.
"""
UPLOAD_AGE_SEC = 24 * 3600.0
"""Age from which an unfinished upload outside ended jobs is garbage; until then it may still go on."""


@dataclass(frozen=True)
class Garbage:
    """Objects to delete and uploads to give up.

    Attributes:
        parts: (key, bytes).
        warnings: a sentence for each job that was left alone because its record is damaged.
    """

    parts: tuple[tuple[str, int], ...]
    uploads: tuple[Unfinished, ...]
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(size for _, size in self.parts)


def find_garbage(storage: Storage, job_id: str | None = None) -> Garbage:
    """The garbage of one job, or of all jobs that have ended; jobs that run are left alone.

    Raises:
        NotFoundError: no such job.
        DataError: the record of the job that was asked for is damaged; among all jobs such a one is only warned of.
    """
    asked = [job_id] if job_id is not None else list_job_ids(storage)
    parts: list[tuple[str, int]] = []
    warnings: list[str] = []
    kept_since: dict[str, float] = {}
    for one in asked:
        try:
            if current_status(storage, one).state.is_final:
                kept_since[job_key(one, "")] = _kept_since(storage, one)
                parts += _orphans(storage, one)
        except (DataError, NotFoundError) as err:
            if job_id is not None:
                raise
            warnings.append(str(err))
    elsewhere = job_id is None
    begun = storage.unfinished("" if job_id is None else job_key(job_id, ""))
    uploads = tuple(upload for upload in begun if _is_given_up(upload, kept_since, elsewhere=elsewhere))
    return Garbage(tuple(parts), uploads, tuple(warnings))


def remove(storage: Storage, garbage: Garbage) -> None:
    """Delete garbage, except that of jobs that have been resumed since."""
    kept = tuple(job_key(one, "") for one in _jobs_of(garbage) if _goes_on(storage, one))
    for key, _ in garbage.parts:
        if not key.startswith(kept):
            storage.delete(key)
    for upload in garbage.uploads:
        if not upload.key.startswith(kept):
            storage.abandon(upload)


def _jobs_of(garbage: Garbage) -> set[str]:
    keys = [key for key, _ in garbage.parts] + [upload.key for upload in garbage.uploads]
    return {key.split("/")[1] for key in keys if key.startswith("jobs/")}


def _goes_on(storage: Storage, job_id: str) -> bool:
    try:
        return not load_status(storage, job_id).state.is_final
    except (DataError, NotFoundError):
        return False  # only an upload that is a day old can be of such a job


def _kept_since(storage: Storage, job_id: str) -> float:
    """What was written from this time on, seconds since 1970, may still begin to count; never for a published job."""
    return float("inf") if is_published(storage, job_id) else time.time() - ATTEMPT_AGE_SEC


def _orphans(storage: Storage, job_id: str) -> Iterable[tuple[str, int]]:
    """(key, bytes) of parts that nothing names.

    They are listed before what names them is read: a part that is committed between the two is not taken for garbage.
    """
    since = _kept_since(storage, job_id)
    stored = [entry for entry in storage.list(job_key(job_id, PARTS)) if entry.modified_at < since]
    if not stored:
        return ()
    if is_published(storage, job_id):
        named = {output.key(job_id) for output in load_manifest(storage, job_id).outputs}
    else:
        named = {job_key(job_id, one.part) for one in read_commits(storage, job_id, committed(storage, job_id))}
    return [(entry.key, entry.size_bytes) for entry in stored if entry.key not in named]


def _is_given_up(upload: Unfinished, kept_since: dict[str, float], *, elsewhere: bool) -> bool:
    """Whether nobody completes an upload any more.

    Args:
        kept_since: folder of an ended job -> see `_kept_since`.
        elsewhere: it may be of no ended job.
    """
    since = next((since for folder, since in kept_since.items() if upload.key.startswith(folder)), None)
    if since is not None:
        return upload.begun_at < since
    return elsewhere and time.time() - upload.begun_at > UPLOAD_AGE_SEC
