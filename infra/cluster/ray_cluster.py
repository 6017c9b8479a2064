"""The one seam to a cluster: submit a job, ask after it, stop it; by Ray's job submission API."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from infra.cluster.local_head import LocalHead, running_head, start_head, token_path
from infra.cluster.loopback import unproxied
from infra.errors import ClusterError, UsageError
from infra.settings import Settings, load_settings

PROBE_TIMEOUT_SEC = 10.0
NODES_TIMEOUT_SEC = 20.0
ADDRESS_VARIABLE = "AGAN_RAY_ADDRESS"
"""Variable that names a job's own Ray; Ray sets RAY_ADDRESS in a driver to the one started last on the machine."""


@dataclass(frozen=True)
class Capacity:
    """What a cluster has now; `grows` where an autoscaler may add nodes."""

    nodes: int
    cpus: float
    gpus: float
    grows: bool


class Cluster(Protocol):
    """Where jobs run. Methods raise ClusterError where the cluster refuses or cannot be reached."""

    url: str

    def capacity(self) -> Capacity: ...

    def submit(self, job_id: str, entrypoint: str, environment: Mapping[str, str]) -> None: ...

    def job_state(self, job_id: str) -> tuple[str, str]:
        """Ray's word for the job's state and its message; ("UNKNOWN", "") where Ray has no such job."""

    def stop(self, job_id: str) -> None: ...


class RayCluster:
    """A cluster by the URL of its dashboard."""

    def __init__(self, url: str, token: str | None, *, local_address: str | None = None) -> None:
        """
        Args:
            url: of the dashboard.
            token: None where the cluster asks for none.
            local_address: host:port of our own head node, so that its jobs never take another Ray of the
                machine for theirs; None for a configured cluster.
        """
        self.url = url.rstrip("/")
        self.is_local = local_address is not None
        if self.is_local:
            os.environ.update(unproxied(os.environ))
        self._address = dict.fromkeys(("RAY_ADDRESS", ADDRESS_VARIABLE), local_address) if local_address else {}
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def _client(self) -> Any:
        self._get("/api/version")
        # both variables silently override the address argument
        for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
            os.environ.pop(name, None)
        from ray.job_submission import JobSubmissionClient

        return JobSubmissionClient(self.url, headers=self._headers)

    def _get(self, path: str) -> Any:
        import requests

        try:
            answer = requests.get(self.url + path, headers=self._headers, timeout=PROBE_TIMEOUT_SEC)
        except requests.RequestException as err:
            raise ClusterError(
                f"cluster {self.url}: not reachable ({type(err).__name__}); check --cluster, or unset it for a"
                " local head node"
            ) from err
        if answer.status_code in (401, 403):
            raise ClusterError(
                f"cluster {self.url}: refused our token ({answer.status_code}); set RAY_AUTH_TOKEN_PATH to its token"
            )
        if not answer.ok:
            raise ClusterError(f"cluster {self.url}: answered {answer.status_code} to {path}")
        return answer.json()

    def capacity(self) -> Capacity:
        deadline = time.monotonic() + NODES_TIMEOUT_SEC
        while not (nodes := self._alive_nodes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        totals = [node.get("resourcesTotal", {}) for node in nodes]
        return Capacity(
            nodes=len(nodes),
            cpus=sum(total.get("CPU", 0.0) for total in totals),
            gpus=sum(total.get("GPU", 0.0) for total in totals),
            grows=not self.is_local,
        )

    def _alive_nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive; a head node that has just started names none for some seconds."""
        summary = self._get("/nodes?view=summary")["data"]["summary"]
        return [node["raylet"] for node in summary if node["raylet"].get("state") == "ALIVE"]

    def submit(self, job_id: str, entrypoint: str, environment: Mapping[str, str]) -> None:
        try:
            self._client().submit_job(
                entrypoint=entrypoint,
                submission_id=job_id,
                runtime_env={"env_vars": {**environment, **self._address}},
                entrypoint_num_cpus=0,
            )
        except (RuntimeError, ConnectionError) as err:
            raise ClusterError(f"cluster {self.url}: refused job {job_id} ({_first_line(err)})") from err

    def job_state(self, job_id: str) -> tuple[str, str]:
        try:
            info = self._client().get_job_info(job_id)
        except (RuntimeError, ConnectionError) as err:
            if _is_unknown(err):
                return "UNKNOWN", ""
            raise ClusterError(f"cluster {self.url}: {_first_line(err)}") from err
        return str(info.status.value), info.message or ""

    def stop(self, job_id: str) -> None:
        try:
            self._client().stop_job(job_id)
        except (RuntimeError, ConnectionError) as err:
            if not _is_unknown(err):
                raise ClusterError(f"cluster {self.url}: cannot stop {job_id} ({_first_line(err)})") from err


def _is_unknown(err: Exception) -> bool:
    """Whether the cluster has forgotten the job, as it does when its head node restarts."""
    return "404" in str(err) or "does not exist" in str(err)


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0]


def connect(settings: Settings) -> RayCluster:
    """The cluster that the settings name, or the local head node, started where it does not run."""
    if settings.cluster is not None:
        if urlsplit(settings.cluster).username is not None:
            raise UsageError("cluster: the URL holds a user name, which would be recorded; set RAY_AUTH_TOKEN_PATH")
        return RayCluster(settings.cluster, _token())
    return _local(start_head())


def find(url: str | None) -> RayCluster | None:
    """The cluster that a job's record names, without starting anything; None where it cannot be known.

    A token goes only to our own head node and to the configured cluster: whoever can write to the store
    could write any address into a record.
    """
    head = running_head()
    if head is not None and url in (None, head.dashboard):
        return _local(head)
    if url is None:
        return None
    return RayCluster(url, _token() if url == load_settings().cluster else None)


def _local(head: LocalHead) -> RayCluster:
    return RayCluster(head.dashboard, token_path().read_text().strip(), local_address=head.address)


def dashboard_login(settings: Settings) -> tuple[str, Path]:
    """(URL of the dashboard, file that holds its token).

    Raises:
        ClusterError: no cluster is configured and no local head node runs.
    """
    if settings.cluster is not None:
        return settings.cluster, _token_file()
    head = running_head()
    if head is None:
        raise ClusterError("dashboard: no local head node runs; `agan cluster start`, or name one with --cluster")
    return head.dashboard, token_path()


def _token_file() -> Path:
    """Where Ray itself looks for the token of a cluster."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()


def _token() -> str | None:
    """The token of a configured cluster."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = _token_file()
    return path.read_text().strip() if path.is_file() else None
