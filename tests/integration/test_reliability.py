"""Killed workers, a killed driver, and what is visible in the end: that of an undisturbed run."""

import signal

import pytest

from jobs.record.manifest import load_manifest
from jobs.record.status import JobState, job_key, load_status
from jobs.tasks.commits import committed
from tests.integration.conftest import Suite
from tests.support.builders_jobs import put_dataset, put_model

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

COUNT, PER_TASK = 400, 2
TASKS = COUNT // PER_TASK


@pytest.fixture(scope="module")
def generate(suite: Suite) -> tuple[str, ...]:
    """What to submit: many small tasks of a tiny model."""
    put_dataset(suite.storage, "tiny")
    model = put_model(suite.storage, dataset="tiny")
    return ("--model", model, "--count", str(COUNT), "--workers", "2", "--set", f"images_per_shard={PER_TASK}")


def test_killed_workers_and_a_killed_driver_leave_what_an_undisturbed_run_leaves(
    suite: Suite, generate: tuple[str, ...]
) -> None:
    calm = suite.submit("generate", *generate)
    suite.wait(calm)

    shaken = suite.submit("generate", *generate)
    for done in (5, 20):
        suite.await_tasks(shaken, done)
        suite.worker_processes("ShardActor")[0].send_signal(signal.SIGKILL)
    suite.await_tasks(shaken, 60)
    [driver] = suite.drivers(shaken)
    driver.send_signal(signal.SIGKILL)
    suite.wait(shaken, exit_code=1)
    before = committed(suite.storage, shaken)
    assert 60 <= len(before) < TASKS
    suite.agan("results", "show", shaken, exit_code=3)

    suite.agan("jobs", "resume", shaken)
    suite.wait(shaken)
    assert f"{len(before) * PER_TASK} of {COUNT} images were done before" in suite.agan("jobs", "logs", shaken)
    assert load_status(suite.storage, shaken).state is JobState.SUCCEEDED
    assert suite.published(shaken) == suite.published(calm)

    suite.agan("jobs", "gc")
    for job_id in (calm, shaken):
        named = {output.key(job_id) for output in load_manifest(suite.storage, job_id).outputs}
        stored = {entry.key for entry in suite.storage.list(job_key(job_id, "out/parts/"))}
        assert stored <= named and len(stored) == TASKS
