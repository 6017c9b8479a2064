"""A second node of a local Ray cluster, on the same machine and on loopback, that can be lost like a machine.

`ray start` would make it only where it may listen on every interface.
"""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from infra.cluster.local_head import LocalHead, head_environment
from infra.cluster.ray_cluster import RayCluster

if TYPE_CHECKING:  # the node itself, which runs this file, does without all that the tests import
    from tests.integration.conftest import Until

START_SEC = 60.0
OBJECT_STORE_BYTES = 100_000_000


class SecondNode:
    """One CPU beside the head node whose state folder is `home`."""

    def __init__(self, home: Path) -> None:
        self._head = LocalHead.model_validate_json((home / "head.json").read_text())
        self._token = home / "token"
        self._root: subprocess.Popen[bytes] | None = None

    def start(self, until: "Until") -> None:
        """Unless it runs; the cluster has to notice the loss of an earlier one first, or it would count that one."""
        if self._root is None:
            environment = {**head_environment(), "RAY_AUTH_TOKEN_PATH": str(self._token)}
            command = [sys.executable, "-m", "tests.support.second_node", self._head.address]
            cluster = RayCluster(self._head.dashboard, self._token.read_text().strip())
            until(lambda: cluster.capacity().cpus == self._head.cpus, START_SEC, "notice of the lost node")
            self._root = subprocess.Popen(command, env=environment)
            until(lambda: cluster.capacity().cpus > self._head.cpus, START_SEC, "a second node")

    def kill(self) -> int:
        """All its processes at once, as when a machine loses its power; how many nodes were lost, 0 or 1."""
        if self._root is None:
            return 0
        root = psutil.Process(self._root.pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._root.wait()
        self._root = None
        return 1


def main(address: str) -> None:
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    params = RayParams(
        gcs_address=address, node_ip_address="127.0.0.1", num_cpus=1, object_store_memory=OBJECT_STORE_BYTES
    )
    Node(params, head=False, spawn_reaper=False)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
