"""The images of a generate job as files that other tools read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anomaly_gan.formats.writing.export import Counts, export_samples
from anomaly_gan.progress import Progress, unreported
from anomaly_gan.samples.sample import IMAGE_MEMBER, Sample, decode_sample
from infra.errors import DataError, UsageError
from infra.storage.protocol import Storage
from jobs.generate.published import is_kept, published_shards, read_members
from jobs.record.status import load_status


@dataclass(frozen=True)
class Exported:
    """What was written; `rejected`: images that the quality gate did not keep, written or not."""

    counts: Counts
    rejected: int


def export(
    storage: Storage,
    job_id: str,
    fmt: str,
    folder: Path,
    *,
    kept_only: bool = False,
    on_progress: Progress = unreported,
) -> Exported:
    """Write the images of a job to a new folder, which appears when it is complete.

    Args:
        storage: holds the job.
        job_id: of a generate job that succeeded.
        fmt: a key of `exporters.EXPORTERS`.
        folder: must not be there yet.
        kept_only: leave out what the quality gate did not keep.
        on_progress: called after each shard.

    Raises:
        NotFoundError: no such job, or it has not succeeded.
        UsageError: it is no generate job, there is no such format, or the folder is there already or cannot be written.
        DataError: a shard differs from the manifest, or no image is kept.
    """
    kind = load_status(storage, job_id).kind
    if kind != "generate":
        raise UsageError(f"job {job_id}: is a {kind} job; name a generate job")
    shards = published_shards(storage, job_id)
    seen: Counter[bool] = Counter()  # by whether they are kept

    def samples() -> Iterator[tuple[Sample, bytes]]:
        for done, shard in enumerate(shards, 1):
            for key, members in read_members(storage, job_id, [shard]):
                sample = decode_sample(key, members)
                seen[is_kept(sample)] += 1
                if is_kept(sample) or not kept_only:
                    yield sample, members[IMAGE_MEMBER]
            on_progress(done, len(shards))
        if kept_only and not seen[True]:
            raise DataError(
                f"job {job_id}: none of its {seen[False]} images is kept by the quality gate; leave --kept-only away"
            )

    counts = export_samples(samples(), fmt, folder)
    return Exported(counts, rejected=seen[False])
