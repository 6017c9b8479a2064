"""Work in tasks that is done at least once and seen exactly once, whoever does it and however often.

    jobs/<id>/plan.json                            how the work is cut; created once
    jobs/<id>/out/parts/part-<task>-<attempt>.tar  what an attempt made; no attempt writes over another's
    jobs/<id>/commits/<task>.json                  which attempt counts; created once, the first one wins

A driver that starts again asks for the commits and goes on with what is missing. Readers trust the manifest alone,
which is written from the commits of all tasks. What no commit names is garbage (`jobs.operations.garbage`).
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice

from pydantic import Field, ValidationError

from anomaly_gan.records import Record
from infra.errors import DataError, NotFoundError, UsageError
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from jobs.record.manifest import ANEW
from jobs.record.status import job_key

READERS = 32
"""Threads that read commits side by side; each waits for the store most of the time."""
READ_AT_A_TIME = 1024
"""Most commits in memory while they are brought into the order of the tasks."""

PARTS = "out/parts/"
"""Where attempts leave their files, below a job."""


class TaskPlan(Record):
    """How `count` items, 0 to count - 1, are cut into tasks.

    Attributes:
        digest: sha256 of the parts of the spec that decide an item.
        count: items of the whole job.
        per_task: items of each task; the last one may have fewer.
        models_sha256: sha256 of each model's weights, in the order in which they are used.
        versions: package -> version, for the packages that decide what bytes come out.
    """

    digest: str
    count: int = Field(ge=1)
    per_task: int = Field(ge=1)
    models_sha256: list[str] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def tasks(self) -> int:
        return -(-self.count // self.per_task)

    def items(self, task: int) -> range:
        return range(task * self.per_task, min((task + 1) * self.per_task, self.count))


class TaskCommit(Record):
    """The attempt of a task that counts.

    Attributes:
        part: name of its file below the job.
        sha256: of the file.
        items: how many it holds.
        sums: measure -> (sum, number of items where it is defined).
    """

    task: int
    part: str
    size_bytes: int
    sha256: str
    items: int
    sums: dict[str, tuple[float, int]]


def open_plan(storage: Storage, job_id: str, plan: TaskPlan) -> TaskPlan:
    """Record the plan, or find that it is already recorded.

    Raises:
        UsageError: the job was begun with another plan.
        DataError: the recorded plan is damaged.
    """
    key = job_key(job_id, "plan.json")
    if storage.create(key, plan.model_dump_json(indent=1).encode()):
        return plan
    try:
        recorded = TaskPlan.model_validate_json(storage.read(key))
    except ValidationError as err:
        raise DataError(f"job {job_id}: plan.json is damaged; {ANEW.format(job_id)}") from err
    if recorded != plan:
        fields = ", ".join(name for name in TaskPlan.model_fields if getattr(recorded, name) != getattr(plan, name))
        raise UsageError(f"job {job_id}: was begun with another plan ({fields}); {ANEW.format(job_id)}")
    return recorded


def commit(
    storage: Storage, job_id: str, task: int, data: bytes, items: int, sums: Mapping[str, tuple[float, int]]
) -> TaskCommit:
    """Write what an attempt made, and let it count unless another attempt already does; returns the one that counts."""
    # a name that no other attempt has, so that attempts which race never write over one another
    part = f"{PARTS}part-{task:08d}-{secrets.token_hex(4)}.tar"
    storage.write(job_key(job_id, part), data)
    mine = TaskCommit(task=task, part=part, size_bytes=len(data), sha256=sha256(data), items=items, sums=dict(sums))
    # the part first, then the commit that names it: a commit never names what is not there yet
    while not storage.create(_commit_key(job_id, task), mine.model_dump_json().encode()):
        with suppress(NotFoundError):  # the winner's commit was taken back since, because its part was gone: try again
            winner = _read(storage, job_id, task)
            if winner.part != part:  # else our own commit is there, and the answer that said so was lost
                storage.delete(job_key(job_id, part))
            return winner
    return mine


def committed(storage: Storage, job_id: str) -> set[int]:
    """The tasks that are done."""
    prefix = job_key(job_id, "commits/")
    names = (entry.key.removeprefix(prefix).removesuffix(".json") for entry in storage.list(prefix))
    return {int(name) for name in names}


def read_commits(storage: Storage, job_id: str, tasks: Iterable[int]) -> Iterator[TaskCommit]:
    """Commits in the order of the tasks, few in memory at a time.

    Raises:
        NotFoundError, DataError: one is missing or damaged.
    """
    todo = iter(tasks)
    # in portions: `map` alone would start reading millions at once
    with ThreadPoolExecutor(READERS) as readers:
        while some := list(islice(todo, READ_AT_A_TIME)):
            yield from readers.map(lambda task: _read(storage, job_id, task), some)


def take_back_broken(storage: Storage, job_id: str, commits: Iterable[TaskCommit]) -> list[int]:
    """The tasks whose part is missing or has another size; their commits are deleted, so that they can be done again.

    A part can be gone although its commit is there: an attempt waited long between the two, and meanwhile
    `jobs.operations.garbage` took the part for one that nobody needs.
    """
    # one listing for all parts: a request for each would be millions
    base = job_key(job_id, "")
    stored = {entry.key.removeprefix(base): entry.size_bytes for entry in storage.list(base + PARTS)}
    broken = [one for one in commits if stored.get(one.part) != one.size_bytes]
    for one in broken:
        _take_back(storage, job_id, one)
    return [one.task for one in broken]


def _take_back(storage: Storage, job_id: str, broken: TaskCommit) -> None:
    """Delete a commit, unless another driver has done so and its task is committed anew."""
    with suppress(NotFoundError):
        if _read(storage, job_id, broken.task) == broken:
            storage.delete(_commit_key(job_id, broken.task))


def total(commits: Iterable[TaskCommit]) -> dict[str, tuple[float, int]]:
    """The sums of all commits, by measure; (sum, number of items where it is defined).

    Args:
        commits: in the order of the tasks: another order would round the sums in another way.
    """
    sums: dict[str, tuple[float, int]] = {}
    for one in commits:
        for name, (value, number) in one.sums.items():
            before = sums.get(name, (0.0, 0))
            sums[name] = (before[0] + value, before[1] + number)
    return sums


def _commit_key(job_id: str, task: int) -> str:
    return job_key(job_id, f"commits/{task:08d}.json")


def _read(storage: Storage, job_id: str, task: int) -> TaskCommit:
    try:
        return TaskCommit.model_validate_json(storage.read(_commit_key(job_id, task)))
    except ValidationError as err:
        raise DataError(f"job {job_id}: commits/{task:08d}.json is damaged; {ANEW.format(job_id)}") from err
