"""Processes named by id and start time, so that a reused id is never mistaken for one of ours."""

import contextlib
import os
import signal
import time

import psutil
from pydantic import BaseModel, ConfigDict

START_TOLERANCE_SEC = 0.01
POLL_SEC = 0.05


class ProcessMark(BaseModel):
    """One process of this machine."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started_at: float


def mark(pid: int) -> ProcessMark | None:
    """The process with this id, None where there is none."""
    try:
        return ProcessMark(pid=pid, started_at=psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(process: ProcessMark) -> bool:
    """Whether that very process still runs; a zombie does not."""
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started_at) < START_TOLERANCE_SEC
        return same and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def mark_tree(root: ProcessMark) -> list[ProcessMark]:
    """The process and all its descendants."""
    if not is_alive(root):
        return []
    children = psutil.Process(root.pid).children(recursive=True)
    return [root, *(found for child in children if (found := mark(child.pid)))]


def end(processes: list[ProcessMark], timeout_sec: float) -> None:
    """SIGTERM to the first, which ends its own; after the timeout SIGKILL to each that is left."""
    if processes and is_alive(processes[0]):
        _send(processes[0], signal.SIGTERM)
    deadline = time.monotonic() + timeout_sec
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(POLL_SEC)
    for process in processes:
        if is_alive(process):
            _send(process, signal.SIGKILL)


def _send(process: ProcessMark, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
