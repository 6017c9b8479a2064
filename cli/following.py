"""Watch a job on the terminal: its log as it comes, its progress as a bar, its end as an exit code."""

import sys

import typer

from cli.output import note, progress
from infra.storage import Storage


def follow_job(storage: Storage, job_id: str, *, show_log: bool = True) -> None:
    """Return when the job has succeeded; else exit with the code of its recorded state."""
    from jobs.control import follow
    from jobs.record import EXIT_CODES, JobState

    status = None
    with progress(job_id) as update:
        for seen in follow(storage, job_id):
            status = seen.status
            if seen.log and show_log:
                sys.stdout.write(seen.log)
                sys.stdout.flush()
            if seen.progress is not None and seen.progress.total:
                update(seen.progress.done, seen.progress.total, f"{job_id}: {seen.progress.phase}")
    assert status is not None
    if status.state is JobState.SUCCEEDED:
        note(f"{job_id}: succeeded")
        return
    note(f"{job_id}: {status.state}" + (f": {status.error}" if status.error else ""))
    raise typer.Exit(int(EXIT_CODES[status.state]))
