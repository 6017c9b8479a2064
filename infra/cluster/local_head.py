"""A Ray head node on loopback, for a machine without a cluster: started, recorded, and ended by us alone.

`ray stop` ends every Ray of the machine; we record our processes and end those.
"""

import fcntl
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from infra.cluster.loopback import unproxied
from infra.cluster.processes import ProcessMark, end, is_alive, mark, mark_tree
from infra.cluster.ray_program import ensure_token, ray_program
from infra.errors import ClusterError, UsageError
from infra.storage.local import write_atomically

START_TIMEOUT_SEC = 120.0
STOP_TIMEOUT_SEC = 8.0
OBJECT_STORE_BYTES = 300_000_000
JOB_STOP_GRACE_SEC = 8
"""Ray kills a stopped job after this long; its supervisor records the cancellation before that."""


FOREIGN = {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_ID", "PYTHONPATH"}
"""Variables that would name another Ray, or its token, or other code."""


class LocalHead(BaseModel):
    """The head node that we started; head.json of the state folder."""

    model_config = ConfigDict(frozen=True)

    dashboard: str
    address: str
    cpus: int
    processes: tuple[ProcessMark, ...]
    started_at: float


def state_folder() -> Path:
    """AGAN_HOME, or ~/.agan: what we know of this machine's own head node."""
    return Path(os.environ.get("AGAN_HOME", "~/.agan")).expanduser()


def token_path() -> Path:
    return state_folder() / "token"


def running_head() -> LocalHead | None:
    """The recorded head node, None where none was started or its main process is gone."""
    path = state_folder() / "head.json"
    if not path.is_file():
        return None
    head = LocalHead.model_validate_json(path.read_text())
    return head if is_alive(head.processes[0]) else None


def start_head(cpus: int | None = None) -> LocalHead:
    """The running head node, or a new one with token authentication, listening on 127.0.0.1 only.

    Raises:
        ClusterError: it does not come up; the message names its log.
        UsageError: the folder of its state cannot be written.
    """
    os.environ.update(unproxied(os.environ))
    folder = state_folder()
    with _lock(folder) as lock:  # of two commands at once, one starts it
        fcntl.flock(lock, fcntl.LOCK_EX)
        return running_head() or _start(folder, cpus or os.cpu_count() or 1)


def _lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (folder / "head.lock").open("w")
    except OSError as err:
        raise UsageError(f"{folder}: {err.strerror}; set AGAN_HOME to a folder that can be written") from err


def _start(folder: Path, cpus: int) -> LocalHead:
    ensure_token(token_path())
    log = folder / "head.log"
    ports = _free_ports(4)
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(cpus, ports),
            env=head_environment(),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    root = mark(process.pid)
    dashboard = f"http://127.0.0.1:{ports[1]}"
    if root is None or not _await_dashboard(dashboard, root):
        if root is not None:
            end(mark_tree(root), STOP_TIMEOUT_SEC)
        raise ClusterError(f"local head node: did not start; see {log}")
    head = LocalHead(
        dashboard=dashboard,
        address=f"127.0.0.1:{ports[0]}",
        cpus=cpus,
        processes=tuple(mark_tree(root)),
        started_at=time.time(),
    )
    write_atomically(folder / "head.json", head.model_dump_json(indent=1).encode())
    return head


def stop_head() -> bool:
    """End the recorded head node's processes and no other; False where none runs."""
    head = running_head()
    if head is not None:
        known = {p.pid: p for p in (*head.processes, *mark_tree(head.processes[0]))}
        end(list(known.values()), STOP_TIMEOUT_SEC)
    (state_folder() / "head.json").unlink(missing_ok=True)
    return head is not None


def head_environment() -> dict[str, str]:
    """The environment of the head node's processes, which jobs inherit.

    Settings are left out: each job brings its own, and those of whoever started the head node must not
    leak into the jobs of the next day.

    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 is Ray's own switch for single-node clusters: without it Ray
    replaces 127.0.0.1 by the host's address, and its servers listen on every interface.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and (name == "AGAN_HOME" or not name.startswith("AGAN_"))
    }
    return {
        **inherited,
        **unproxied(os.environ),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path()),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_JOB_STOP_WAIT_TIME_S": str(JOB_STOP_GRACE_SEC),
    }


def _command(cpus: int, ports: list[int]) -> list[str]:
    return [
        *(ray_program(), "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", f"--port={ports[0]}"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={ports[1]}"),
        *(f"--ray-client-server-port={ports[2]}", f"--dashboard-agent-listen-port={ports[3]}"),
        *(f"--num-cpus={cpus}", f"--object-store-memory={OBJECT_STORE_BYTES}"),
    ]


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def _await_dashboard(url: str, root: ProcessMark) -> bool:
    """Wait until the job API answers; False once the process is gone or time is up."""
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while is_alive(root) and time.monotonic() < deadline:
        request = urllib.request.Request(
            f"{url}/api/jobs/", headers={"Authorization": f"Bearer {token_path().read_text().strip()}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return False
