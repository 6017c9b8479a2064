"""One Ray head node and one S3 server for all tests that run jobs; both end with the test run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from infra.settings import Settings, load_settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.operations.control import current_status
from jobs.record.manifest import load_manifest
from jobs.tasks.commits import committed
from tests.support.builders_jobs import put_dataset, put_model

TINY = [
    *("--preset", "laptop", "--window", "64", "--batch-size", "4"),
    *("--set", "train.model.generator_widths=[8,16,16]", "--set", "train.model.width_mult=0.125"),
    *("--set", "train.aware.weights=random"),
]
"""Options of a train job that two cores do in seconds."""

COUNT, PER_TASK = 400, 2
"""Images of a generate job of many small tasks, and of one of its tasks."""

AGAN = [sys.executable, "-m", "cli.main"]
COMMAND_TIMEOUT_SEC = 280
POLL_SEC = 0.2


@dataclass
class Suite:
    """The `agan` command as a user runs it, with its own home, store and cluster."""

    environment: dict[str, str]
    folder: Path
    settings: Settings
    storage: Storage
    ids: dict[str, str] = field(default_factory=dict)

    def agan(self, *args: str, exit_code: int = 0) -> str:
        """Run a command; returns stdout; asserts the exit code."""
        done = subprocess.run(
            [*AGAN, *args],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SEC,
            check=False,
        )
        assert done.returncode == exit_code, f"agan {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def submit(self, kind: str, *args: str) -> str:
        """Submit a job; returns its id."""
        answer: dict[str, Any] = json.loads(self.agan("submit", kind, *args, "--json"))
        (job_id,) = answer["job_ids"]
        return str(job_id)

    def status(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.agan("jobs", "status", job_id, "--json"))
        return found

    def wait(self, job_id: str, exit_code: int = 0) -> None:
        try:
            self.agan("jobs", "wait", job_id, exit_code=exit_code)
        except AssertionError as err:
            raise AssertionError(f"{err}\n{self.log_tail(job_id)}") from err

    def log_tail(self, job_id: str) -> str:
        return self.agan("jobs", "logs", job_id)[-6000:]

    def is_running(self, job_id: str) -> bool:
        """Or is about to."""
        return not current_status(self.storage, job_id).state.is_final

    def await_tasks(self, job_id: str, tasks: int) -> None:
        """Wait until so many are done, however slow the machine is; asserts that the job does not end before."""
        while len(committed(self.storage, job_id)) < tasks:
            assert self.is_running(job_id), f"{job_id} ended before {tasks} tasks were done\n{self.log_tail(job_id)}"
            time.sleep(POLL_SEC)

    def published(self, job_id: str) -> dict[str, str]:
        """Visible name -> sha256."""
        return {output.name: output.sha256 for output in load_manifest(self.storage, job_id).outputs}

    def drivers(self, job_id: str) -> list[psutil.Process]:
        """The process that hands out the job's tasks, the child of its supervisor, if it is there."""
        return [process for process in psutil.process_iter() if _title(process).endswith(f" jobs.work {job_id}")]

    def worker_processes(self, name: str) -> list[psutil.Process]:
        """Ray workers of our own head node whose title names what they run."""
        head = json.loads(self.agan("cluster", "status", "--json"))
        root = psutil.Process(head["processes"][0]["pid"])
        return [child for child in root.children(recursive=True) if _title(child).startswith(f"ray::{name}")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


@pytest.fixture(scope="session")
def suite(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The suite over an S3 store; the head node starts with the first job."""
    folder = tmp_path_factory.mktemp("suite")
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket="suite")
    environment = {
        **os.environ,
        "AGAN_HOME": str(folder / "home"),
        "AGAN_STORE": "s3://suite/jobs-on-ray",
        "AGAN_S3_ENDPOINT": s3_endpoint,
        "AGAN_S3_REGION": "us-east-1",
    }
    settings = load_settings({}, environment, folder)
    made = Suite(environment, folder, settings, open_storage(settings))
    made.agan("cluster", "start", "--cpus", "2")
    yield made
    made.agan("cluster", "stop")


@pytest.fixture(scope="session")
def dataset(suite: Suite) -> str:
    """Rendered pictures, 8 normal ones and 8 of each of two classes."""
    suite.agan("data", "render", "images", "--normal", "8", "--per-class", "8", "--classes", "paper_scrap,screw_a")
    suite.agan("data", "import", "images", "--name", "rendered", "--format", "mvtec", "--resolution", "128")
    return "rendered"


@pytest.fixture(scope="session")
def tiny_model(suite: Suite) -> str:
    """An untrained model of another data set, for tests of how jobs generate and not of what."""
    put_dataset(suite.storage)
    return put_model(suite.storage)


@pytest.fixture(scope="session")
def undisturbed(suite: Suite, tiny_model: str) -> str:
    """A generate job of many small tasks that nothing disturbed."""
    job_id = submit_many_tasks(suite, tiny_model, workers=1)
    suite.wait(job_id)
    return job_id


def submit_many_tasks(suite: Suite, model: str, workers: int) -> str:
    """Submit a generate job that outlives the loss of workers; returns its id."""
    more = ("--workers", str(workers), "--set", f"images_per_shard={PER_TASK}", "--set", "resources.max_failures=9")
    return suite.submit("generate", "--model", model, "--count", str(COUNT), *more)


Until = Callable[[Callable[[], bool], float, str], None]


@pytest.fixture
def until() -> Until:
    """Wait for a condition, or fail saying for what."""

    def wait(condition: Callable[[], bool], timeout_sec: float, what: str) -> None:
        deadline = time.monotonic() + timeout_sec
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {timeout_sec} s"
            time.sleep(POLL_SEC)

    return wait
