"""What a driver remembers of commits is what they were."""

import subprocess
import sys

from jobs.tasks.commits import TaskCommit
from jobs.tasks.ledger import Ledger
from tests.support.helpers import ROOT


def made(task: int, **sums: tuple[float, int]) -> TaskCommit:
    digest = f"{task:064x}"
    return TaskCommit(task=task, part=f"out/parts/{task}", size_bytes=task, sha256=digest, items=task + 1, sums=sums)


def test_commits_come_out_as_they_went_in_by_the_order_of_the_tasks() -> None:
    commits = [made(0, hit=(0.1, 3)), made(1), made(3, hit=(0.2, 0), change=(1.5, 2))]
    ledger = Ledger(4, reversed(commits))
    assert list(ledger) == list(ledger) == commits
    assert (ledger.items, ledger.missing()) == (1 + 2 + 4, [2])


def test_a_task_that_is_done_again_counts_once() -> None:
    ledger = Ledger(2, [made(0, hit=(0.1, 3)), made(1)])
    ledger.remove(0)
    assert (list(ledger), ledger.items, ledger.missing()) == ([made(1)], 2, [0])
    ledger.add(made(0, change=(0.5, 1)))
    assert list(ledger) == [made(0, change=(0.5, 1)), made(1)]


def test_a_driver_imports_no_torch() -> None:
    code = "import sys, jobs.work, jobs.generate.job, infra.storage.s3; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
