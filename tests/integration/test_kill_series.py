"""Generate jobs whose workers, driver and node are killed at random times; all publish what an undisturbed one does.

`AGAN_TEST_KILL_RUNS=20 python -m pytest -m slow -s tests/integration/test_kill_series.py` makes 20 runs and prints a
line of each; the kills of a run are decided by its number.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from infra.storage.shards import read_shard
from jobs.generate.published import SHARD_PREFIX
from jobs.operations.control import current_status
from jobs.operations.garbage import Garbage, find_garbage
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import JobState, job_key
from jobs.tasks.commits import PARTS, committed
from tests.integration.conftest import COUNT, POLL_SEC, Suite, Until, submit_many_tasks
from tests.support.second_node import SecondNode

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

RUNS = int(os.environ.get("AGAN_TEST_KILL_RUNS", "3"))
KILLS = ("worker", "worker", "driver")
"""In every run, in any order; every second run loses a node too, on which a third worker is."""
PAUSE_SEC = (0.1, 1.0)
"""Between a sign of life and a kill."""
NOTICE_SEC = 60.0


@pytest.fixture
def second_node(suite: Suite) -> Iterator[SecondNode]:
    """Not started."""
    node = SecondNode(suite.folder / "home")
    yield node
    node.kill()


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_with_kills_at_random_times_publishes_what_an_undisturbed_run_does(
    suite: Suite, tiny_model: str, undisturbed: str, second_node: SecondNode, until: Until, number: int
) -> None:
    started, killed, chance = time.monotonic(), Counter[str](), random.Random(number)
    with_node = number % 2 == 1
    plan = [*KILLS, "node"] if with_node else list(KILLS)
    chance.shuffle(plan)
    if with_node:
        second_node.start(until)
    job_id = submit_many_tasks(suite, tiny_model, workers=3 if with_node else 2)
    for kind in plan:
        if not gets_on(suite, job_id):
            break
        time.sleep(chance.uniform(*PAUSE_SEC))
        lost = strike(kind, suite, job_id, second_node)
        killed[kind] += lost
        if kind == "driver" and lost:
            until(lambda: not suite.is_running(job_id), NOTICE_SEC, "the end of a job without a driver")
            if with_node:
                second_node.start(until)
            suite.agan("jobs", "resume", job_id)
    suite.wait(job_id)
    missed = set(plan) - set(killed.elements())
    assert not missed, (
        f"run {number} ended before it lost any {', '.join(missed)} (killed: {dict(killed)}); raise COUNT"
    )
    suite.agan("jobs", "gc")
    check(suite, job_id, suite.published(undisturbed))
    print(f"run {number}: killed {dict(killed)}, {time.monotonic() - started:.0f} s")


def gets_on(suite: Suite, job_id: str) -> bool:
    """Wait until one more task is done; False where the job has ended."""
    before = len(committed(suite.storage, job_id))
    while len(committed(suite.storage, job_id)) == before:
        if not suite.is_running(job_id):
            return False
        time.sleep(POLL_SEC)
    return True


def strike(kind: str, suite: Suite, job_id: str, node: SecondNode) -> int:
    """How many were killed, 0 or 1; waits for a process that has just been lost and is not there again."""
    if kind == "node":
        return node.kill()
    while suite.is_running(job_id):
        found = suite.drivers(job_id) if kind == "driver" else suite.worker_processes("ShardActor")
        if found:
            found[0].kill()
            return 1
        time.sleep(POLL_SEC)
    return 0


def check(suite: Suite, job_id: str, expected: dict[str, str]) -> None:
    """The same names and digests, every image once, and nothing else in the store."""
    assert current_status(suite.storage, job_id).state is JobState.SUCCEEDED
    assert suite.published(job_id) == expected
    outputs = load_manifest(suite.storage, job_id).outputs
    shards = [output for output in outputs if output.name.startswith(SHARD_PREFIX)]
    keys = [key for shard in shards for key, _ in read_shard(read_output(suite.storage, job_id, shard), shard.name)]
    assert keys == [f"gen-{index:08d}" for index in range(COUNT)]
    stored = {entry.key for entry in suite.storage.list(job_key(job_id, PARTS))}
    assert stored == {shard.key(job_id) for shard in shards}
    assert find_garbage(suite.storage) == Garbage((), ())
    assert suite.storage.unfinished("") == []
