"""Killed workers, a killed driver, and what is visible in the end: that of an undisturbed run."""

import signal

import pytest

from jobs.record.manifest import load_manifest
from jobs.record.status import JobState, job_key, load_status
from jobs.tasks.commits import committed
from tests.integration.conftest import COUNT, PER_TASK, Suite, submit_many_tasks

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

TASKS = COUNT // PER_TASK


def test_killed_workers_and_a_killed_driver_leave_what_an_undisturbed_run_leaves(
    suite: Suite, tiny_model: str, undisturbed: str
) -> None:
    shaken = submit_many_tasks(suite, tiny_model, workers=2)
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
    assert suite.published(shaken) == suite.published(undisturbed)

    suite.agan("jobs", "gc")
    for job_id in (undisturbed, shaken):
        named = {output.key(job_id) for output in load_manifest(suite.storage, job_id).outputs}
        stored = {entry.key for entry in suite.storage.list(job_key(job_id, "out/parts/"))}
        assert stored <= named and len(stored) == TASKS
