"""Watch a job on the terminal: its log as it comes, its progress as a bar, its end as an exit code."""

import sys
from typing import TYPE_CHECKING

import typer

from cli.output import note, progress

if TYPE_CHECKING:
    from infra.storage.protocol import Storage
    from jobs.record.status import JobStatus


def follow_job(storage: "Storage", job_id: str, *, show_log: bool = True) -> "JobStatus":
    """The job's last status, once it has ended."""
    from jobs.operations.control import follow

    status = None
    with progress(job_id) as update:
        for seen in follow(storage, job_id, with_log=show_log):
            status = seen.status
            if seen.log:
                sys.stdout.write(seen.log)
                sys.stdout.flush()
            if seen.progress is not None and seen.progress.total:
                update(seen.progress.done, seen.progress.total, f"{job_id}: {seen.progress.phase}")
    assert status is not None
    note(f"{job_id}: {status.state}" + (f": {status.error}" if status.error else ""))
    return status


def exit_by(status: "JobStatus") -> None:
    """Return where the job has succeeded; else exit with the code of its recorded state."""
    from jobs.record.status import EXIT_CODES

    if code := EXIT_CODES[status.state]:
        raise typer.Exit(int(code))
