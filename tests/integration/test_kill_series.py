"""Generate jobs whose workers, driver and node are killed at random times; all publish what an undisturbed one does.

Each run is decided by its number. `AGAN_TEST_KILL_RUNS=20 python -m pytest -m slow -s` with this file prints a line for
each of 20 runs.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psutil
import pytest

from infra.local_head import OBJECT_STORE_BYTES, head_environment
from infra.ray_program import ray_program
from infra.shards import read_shard
from infra.storage import Storage
from jobs.garbage import find_garbage
from jobs.generate import SHARD_PREFIX
from jobs.manifest import load_manifest, read_output
from jobs.record import JobState, job_key, load_status
from jobs.tasks import PARTS
from tests.builders_jobs import put_dataset, put_model
from tests.integration.conftest import Suite, Until

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

RUNS = int(os.environ.get("AGAN_TEST_KILL_RUNS", "3"))
COUNT, PER_TASK = 400, 2
KILLS = 4
"""At most, in a run."""
PAUSE_SEC = (0.2, 4.0)
"""Between a job that makes images and the next kill."""
NODE_EVERY = 2
"""Every so many runs a third worker has a node of its own, which is lost."""
START_SEC = 90.0


@pytest.fixture(scope="module")
def model(suite: Suite) -> str:
    put_dataset(suite.storage, "tiny")
    return put_model(suite.storage, dataset="tiny")


@pytest.fixture(scope="module")
def undisturbed(suite: Suite, model: str) -> dict[str, str]:
    """What a run without kills publishes, on one worker."""
    job_id = submit(suite, model, 1)
    suite.wait(job_id)
    return published(suite.storage, job_id)


def submit(suite: Suite, model: str, workers: int) -> str:
    cut = ("--count", str(COUNT), "--set", f"images_per_shard={PER_TASK}", "--set", "resources.max_failures=10")
    return suite.submit("generate", "--model", model, "--workers", str(workers), *cut)


def published(storage: Storage, job_id: str) -> dict[str, str]:
    """Visible name -> sha256."""
    return {output.name: output.sha256 for output in load_manifest(storage, job_id).outputs}


class Node:
    """A second node of the suite's cluster, on the same machine: one CPU."""

    def __init__(self, suite: Suite) -> None:
        head = json.loads(suite.agan("cluster", "status", "--json"))
        token = {"RAY_AUTH_TOKEN_PATH": str(suite.folder / "home" / "token")}
        self._suite = suite
        self._cpus = head["cpus"] + 1
        self._process = subprocess.Popen(
            [
                *(ray_program(), "start", "--block", "--disable-usage-stats", f"--address={head['address']}"),
                *("--node-ip-address=127.0.0.1", "--num-cpus=1", f"--object-store-memory={OBJECT_STORE_BYTES}"),
            ],
            env={**head_environment(), **token},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def is_ready(self) -> bool:
        from infra.cluster import RayCluster

        head = json.loads(self._suite.agan("cluster", "status", "--json"))
        token = (self._suite.folder / "home" / "token").read_text().strip()
        return RayCluster(head["dashboard"], token).capacity().cpus >= self._cpus

    def kill(self) -> None:
        """All of it at once, as a machine that loses its power."""
        processes = [psutil.Process(self._process.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            if process.is_running():
                process.kill()
        self._process.wait()
