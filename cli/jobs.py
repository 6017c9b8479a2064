"""`agan jobs`: watch jobs in the store, also when the cluster is gone; end, resume and retry them; clean up."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from cli.following import exit_by, follow_job
from cli.options import ClusterOption, JsonOption, StoreOption, settings_from
from cli.output import emit, note, table

if TYPE_CHECKING:
    from jobs.record.status import JobProgress, JobStatus

app = typer.Typer(no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Id of the job.")]


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """All jobs of the store, newest first."""
    from infra.storage.open import open_storage
    from jobs.record.status import list_statuses

    statuses = list_statuses(open_storage(settings_from(store)), on_damaged=lambda told: note(f"warning: {told}"))
    rows = [(s.job_id, s.state, _duration(s), s.title) for s in statuses]
    text = table(("job", "state", "time", "what"), rows) if rows else "no jobs in this store"
    emit([s.model_dump(mode="json") for s in statuses], text, as_json)


@app.command()
def status(job: JobArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """State, progress, speed and losses of a job."""
    from infra.storage.open import open_storage
    from jobs.operations.control import current_status
    from jobs.record.status import load_progress

    storage = open_storage(settings_from(store))
    found, progress = current_status(storage, job), load_progress(storage, job)
    data = found.model_dump(mode="json") | {"progress": progress and progress.model_dump(mode="json")}
    emit(data, _describe(found, progress), as_json)


@app.command()
def logs(
    job: JobArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """The log of a job, of all its workers."""
    from infra.storage.open import open_storage
    from jobs.record.status import load_status, read_logs

    storage = open_storage(settings_from(store))
    status = follow_job(storage, job, show_log=not as_json) if follow else load_status(storage, job)
    if as_json:
        emit({"job_id": job, "state": status.state, "log": read_logs(storage, job)[0]}, "", as_json)
    elif not follow:
        typer.echo(read_logs(storage, job)[0], nl=False)
    if follow:
        exit_by(status)


@app.command()
def wait(job: JobArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Wait for a job's end; exits 0 succeeded, 1 failed, 4 cancelled, 5 lost."""
    from infra.storage.open import open_storage

    status = follow_job(open_storage(settings_from(store)), job, show_log=False)
    if as_json:
        emit(status.model_dump(mode="json"), "", as_json)
    exit_by(status)


@app.command()
def cancel(job: JobArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """End a job; what it had written stays invisible."""
    from infra.storage.open import open_storage
    from jobs.operations.control import cancel as cancel_job

    found = cancel_job(open_storage(settings_from(store)), job)
    emit(found.model_dump(mode="json"), f"{job}: {found.state}", as_json)


@app.command()
def resume(
    job: JobArgument, store: StoreOption = None, cluster: ClusterOption = None, as_json: JsonOption = False
) -> None:
    """Go on with a train or generate job that ended early; what it had finished is kept.

    agan jobs resume generate-20260101-130000-cd34
    """
    from infra.cluster.ray_cluster import connect
    from jobs.operations.resume import resume_job

    settings = settings_from(store, cluster)
    found = resume_job(job, settings, connect(settings))
    attempt = found.status.attempt
    outcome = f"attempt {attempt}" if found.is_ours else f"is being resumed already as attempt {attempt}"
    if found.hint is not None:
        note(found.hint)
    emit(found.status.model_dump(mode="json"), f"{job}: {outcome}\nwatch:  agan jobs logs -f {job}", as_json)


@app.command()
def retry(
    job: JobArgument, store: StoreOption = None, cluster: ClusterOption = None, as_json: JsonOption = False
) -> None:
    """Submit a job's spec again as a new job.

    agan jobs retry evaluate-20260101-140000-ef56
    """
    from infra.cluster.ray_cluster import connect
    from jobs.operations.resume import retry_job

    settings = settings_from(store, cluster)
    started = retry_job(job, settings, connect(settings))
    emit({"job_id": started, "retry_of": job}, f"submitted {started}\nwatch:  agan jobs logs -f {started}", as_json)


@app.command()
def gc(
    job: Annotated[str | None, typer.Argument(help="Id of a job.", show_default="all that have ended")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, only say what would be removed.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what interrupted attempts left and no reader sees; running jobs are left alone.

    agan jobs gc --dry-run
    """
    from infra.storage.open import open_storage
    from jobs.operations.garbage import find_garbage, remove

    storage = open_storage(settings_from(store))
    found = find_garbage(storage, job)
    if not dry_run:
        remove(storage, found)
    for warning in found.warnings:
        note(f"warning: left alone: {warning}")
    data = {
        "removed": not dry_run,
        "objects": [key for key, _ in found.parts],
        "size_bytes": found.size_bytes,
        "uploads": [upload.key for upload in found.uploads],
    }
    amount = f"{len(found.parts)} objects of {found.size_bytes / 2**20:.1f} MiB, {len(found.uploads)} open uploads"
    emit(data, f"{'would remove' if dry_run else 'removed'} {amount}", as_json)


def _duration(status: "JobStatus") -> str:
    seconds = (status.finished_at or time.time()) - (status.started_at or status.submitted_at)
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def _describe(status: "JobStatus", progress: "JobProgress | None") -> str:
    lines = [f"{status.job_id}  {status.state}  {_duration(status)}  {status.title}"]
    if progress is not None:
        share = 100 * progress.done / progress.total if progress.total else 100.0
        eta = f", {progress.eta_sec:.0f} s left" if progress.eta_sec and not status.state.is_final else ""
        lines.append(f"{progress.phase}: {progress.done}/{progress.total} {progress.unit} ({share:.0f} %{eta})")
        if progress.images_per_sec is not None:
            lines.append(f"{progress.images_per_sec:.1f} images/s")
        lines += [f"  {name:<20} {value:.4g}" for name, value in progress.values.items()]
    if status.error:
        lines.append(f"error: {status.error}")
    return "\n".join(lines)
