"""Starts and ends a cluster on AWS through Ray's own launcher, after a check of its file."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.cluster.aws.launcher_file import ClusterFile, load_cluster_file, read_cluster_yaml, refuse_placeholders
from infra.cluster.ray_program import ensure_token, ray_program
from infra.errors import ClusterError, UsageError

STDERR = 2
"""File descriptor of stderr."""

# (command, environment, folder to run it in) -> exit code
Runner = Callable[[Sequence[str], Mapping[str, str], Path], int]


def run_streaming(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> int:
    """Run a command on this terminal, so that its output is seen as it comes and it may ask questions."""
    return subprocess.run(command, env=environment, cwd=folder, check=False).returncode


def run_aside(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> int:
    """Run a command as `run_streaming` does, but with its output on stderr; stdout holds our own output alone."""
    return subprocess.run(command, env=environment, cwd=folder, stdout=STDERR, check=False).returncode


def cluster_up(path: Path, *, yes: bool, runner: Runner = run_streaming) -> ClusterFile:
    """Start the cluster, or bring a running one to what the file says.

    On a running cluster this restarts Ray, which ends its jobs; Ray asks first unless `yes`.

    Raises:
        UsageError: the file is not sound, or a file it names is not here.
        ClusterError: a program is missing, or Ray's launcher failed.
    """
    cluster = load_cluster_file(path)
    refuse_placeholders(path, cluster.raw)
    _check_local_paths(cluster)
    _check_programs(cluster)
    ensure_token(cluster.token_path)
    environment = {**_launcher_environment(), "RAY_AUTH_TOKEN_PATH": str(cluster.token_path)}
    # The cache would hide a change in the account, such as a subnet that has been replaced.
    command = [ray_program(), "up", *_yes(yes), str(path.resolve()), "--no-config-cache"]
    code = runner(command, environment, path.resolve().parent)
    if code != 0:
        raise ClusterError(
            f"{path}: `ray up` ended with exit code {code}, nodes it started still run; mend what it printed "
            f"and repeat, or end them with: agan cluster down {path}"
        )
    return cluster


def cluster_down(path: Path, *, yes: bool, runner: Runner = run_streaming) -> None:
    """Terminate every node of the cluster, its jobs included.

    Only the placeholders are checked: a file edited since the start must still end what costs money.

    Raises:
        UsageError: the file cannot be read, or was never filled in.
        ClusterError: Ray is missing, or its launcher failed.
    """
    refuse_placeholders(path, read_cluster_yaml(path))
    command = [ray_program(), "down", *_yes(yes), str(path.resolve())]
    code = runner(command, _launcher_environment(), path.resolve().parent)
    if code != 0:
        raise ClusterError(
            f"{path}: `ray down` ended with exit code {code}, nodes may still run and cost money; repeat it, "
            "then look in the EC2 console for instances with the tag ray-cluster-name"
        )


def _check_local_paths(cluster: ClusterFile) -> None:
    """Refuse a missing local file; Ray would notice only after the head node runs, with a bare assertion."""
    for local in cluster.local_paths:
        if not local.exists():
            raise UsageError(f"{cluster.path}: {local}: no such file or folder; put it there or correct its line")


def _check_programs(cluster: ClusterFile) -> None:
    """Refuse a missing program; Ray would notice only after the head node runs, and then try for many minutes."""
    proxy = shlex.split(cluster.raw.get("auth", {}).get("ssh_proxy_command", ""))
    for program in ("ssh", "rsync", *proxy[:1]):
        if shutil.which(program) is None:
            raise ClusterError(f"{program}: not found on this machine, Ray's launcher needs it; install it")


def _yes(yes: bool) -> list[str]:
    return ["-y"] if yes else []


def _launcher_environment() -> dict[str, str]:
    return {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        # The first autoscaler knows no `priority` of node types, by which spot goes before on-demand.
        "RAY_UP_enable_autoscaler_v2": "1",
    }
