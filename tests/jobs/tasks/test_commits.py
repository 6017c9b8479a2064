"""Each task counts once, whoever does it and however often."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import DataError, NotFoundError, UsageError
from infra.storage.digest import sha256
from jobs.tasks.commits import TaskPlan, commit, committed, open_plan, read_commits, take_back_broken, total
from jobs.tasks.ledger import Ledger
from tests.support.helpers import MemoryStorage

JOB = "generate-20260101-130000-cd34"
PARTS = f"jobs/{JOB}/out/parts/"
RACERS = 16


def parts(storage: MemoryStorage) -> dict[str, bytes]:
    return {key: data for key, data in storage.objects.items() if key.startswith(PARTS)}


@given(st.integers(1, 500), st.integers(1, 60))
def test_every_item_stands_in_one_task(count: int, per_task: int) -> None:
    plan = TaskPlan(digest="d", count=count, per_task=per_task)
    assert [item for task in range(plan.tasks) for item in plan.items(task)] == list(range(count))
    assert all(0 < len(plan.items(task)) <= per_task for task in range(plan.tasks))


def test_a_plan_is_recorded_once_and_found_again() -> None:
    storage, plan = MemoryStorage(), TaskPlan(digest="d", count=7, per_task=2)
    assert open_plan(storage, JOB, plan) == plan
    before = dict(storage.objects)
    assert open_plan(storage, JOB, plan) == plan
    assert storage.objects == before


@pytest.mark.parametrize("change", [{"digest": "e"}, {"count": 8}, {"per_task": 3}])
def test_a_job_does_not_go_on_with_another_plan(change: dict[str, str | int]) -> None:
    storage, plan = MemoryStorage(), TaskPlan(digest="d", count=7, per_task=2)
    open_plan(storage, JOB, plan)
    with pytest.raises(UsageError, match=f"job {JOB}: was begun with another plan .*; .* `agan jobs retry {JOB}`"):
        open_plan(storage, JOB, plan.model_copy(update=change))


def test_a_damaged_plan_is_refused() -> None:
    storage, plan = MemoryStorage(), TaskPlan(digest="d", count=7, per_task=2)
    storage.write(f"jobs/{JOB}/plan.json", b"{}")
    with pytest.raises(DataError, match=r"plan\.json is damaged"):
        open_plan(storage, JOB, plan)


def test_a_commit_names_the_part_with_its_size_and_digest() -> None:
    storage = MemoryStorage()
    done = commit(storage, JOB, 3, b"tar", 5, {"mask_hit": (2.5, 4)})
    assert (done.task, done.items, done.size_bytes, done.sha256) == (3, 5, 3, sha256(b"tar"))
    assert done.sums == {"mask_hit": (2.5, 4)}
    assert parts(storage) == {f"jobs/{JOB}/{done.part}": b"tar"}
    assert committed(storage, JOB) == {3}
    assert list(read_commits(storage, JOB, [3])) == [done]


def test_of_racing_attempts_one_counts_and_the_others_leave_nothing() -> None:
    storage, barrier = MemoryStorage(), Barrier(RACERS)

    def attempt(number: int) -> str:
        barrier.wait()
        return commit(storage, JOB, 0, f"attempt {number}".encode(), 1, {}).part

    with ThreadPoolExecutor(RACERS) as racers:
        told = set(racers.map(attempt, range(RACERS)))
    [winner] = told
    assert set(parts(storage)) == {f"jobs/{JOB}/{winner}"}
    assert sha256(storage.read(f"jobs/{JOB}/{winner}")) == next(read_commits(storage, JOB, [0])).sha256


def test_an_attempt_whose_own_commit_was_answered_as_taken_keeps_its_part() -> None:
    """A request can be carried out and its answer lost: asked again, the store says that the key is taken."""

    class Forgetful(MemoryStorage):
        def create(self, key: str, data: bytes) -> bool:
            super().create(key, data)
            return False

    storage = Forgetful()
    done = commit(storage, JOB, 0, b"tar", 1, {})
    assert storage.read(f"jobs/{JOB}/{done.part}") == b"tar"


def test_a_commit_whose_part_is_gone_or_cut_is_taken_back_and_its_task_done_anew() -> None:
    storage = MemoryStorage()
    made = [commit(storage, JOB, task, b"tar", 1, {}) for task in range(3)]
    storage.delete(f"jobs/{JOB}/{made[0].part}")
    storage.write(f"jobs/{JOB}/{made[1].part}", b"ta")
    assert take_back_broken(storage, JOB, made) == [0, 1]
    assert committed(storage, JOB) == {2}
    again = commit(storage, JOB, 0, b"tar", 1, {})
    assert again.part != made[0].part
    assert take_back_broken(storage, JOB, made) == [0, 1]
    assert list(read_commits(storage, JOB, [0])) == [again], (
        "a driver that remembers the old commit takes the new one back"
    )


def test_an_attempt_commits_where_the_winner_is_taken_back_before_it_is_read() -> None:
    class Hasty(MemoryStorage):
        def read(self, key: str) -> bytes:
            self.delete(key)
            return super().read(key)

    storage = Hasty()
    commit(storage, JOB, 0, b"tar", 1, {})
    second = commit(storage, JOB, 0, b"tar", 1, {})
    assert storage.objects[f"jobs/{JOB}/{second.part}"] == b"tar"
    assert committed(storage, JOB) == {0}


def test_a_damaged_or_missing_commit_is_named() -> None:
    storage = MemoryStorage()
    storage.write(f"jobs/{JOB}/commits/00000004.json", json.dumps({"task": 4}).encode())
    with pytest.raises(DataError, match=r"commits/00000004\.json is damaged"):
        list(read_commits(storage, JOB, [4]))
    with pytest.raises(NotFoundError):
        list(read_commits(storage, JOB, [5]))


def test_totals_do_not_depend_on_the_order_in_which_tasks_were_done() -> None:
    storage = MemoryStorage()
    values = [0.1, 1e16, -1e16, 0.3]
    done = [commit(storage, JOB, task, b"", 1, {"m": (value, 1)}) for task, value in enumerate(values)]
    assert total(Ledger(4, done)) == total(Ledger(4, done[::-1])) == {"m": (sum(values), 4)}


def test_a_plan_says_what_differs() -> None:
    storage, plan = (
        MemoryStorage(),
        TaskPlan(digest="d", count=7, per_task=2, models_sha256=["a"], versions={"torch": "2"}),
    )
    open_plan(storage, JOB, plan)
    other = plan.model_copy(update={"models_sha256": ["b"], "versions": {"torch": "3"}})
    with pytest.raises(
        UsageError, match=r"was begun with another plan \(models_sha256, versions\); .* `agan jobs retry"
    ):
        open_plan(storage, JOB, other)
