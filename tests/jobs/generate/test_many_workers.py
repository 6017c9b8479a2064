"""However many workers share a generate job, and however many drivers it has by mistake, it publishes the same."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from threading import Barrier

import pytest

from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.generate.job import publish
from jobs.generate.shard_maker import ShardMaker
from jobs.generate.task_plan import plan_of
from jobs.library.models.files import model_digest
from jobs.record.context import JobContext, context_from_plain
from jobs.record.manifest import load_manifest
from jobs.record.status import job_key
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import PARTS, committed, open_plan, read_commits
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model, put_spec
from tests.support.one_worker import make_tasks

COUNT, PER_TASK, TASKS = 24, 2, 12


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    storage = LocalStorage(tmp_path_factory.mktemp("store"))
    put_dataset(storage)
    put_model(storage)
    return storage


def context(storage: LocalStorage, job_id: str, workers: int = 1) -> JobContext[GenerateSpec]:
    settings = {"count": COUNT, "images_per_shard": PER_TASK, "resources": {"workers": workers}}
    spec = GenerateSpec.model_validate({"model": TRAIN_JOB, **settings})
    put_spec(storage, job_id, spec)
    return JobContext(job_id, spec, Settings(store=storage.uri), storage)


def work(job: JobContext[GenerateSpec], tasks: range, together: Barrier) -> None:
    """What one worker does, with nothing in memory that is another's."""
    maker = ShardMaker(context_from_plain(job.to_plain(), GenerateSpec))
    together.wait()
    for task in tasks:
        maker.make(task)


def run(job: JobContext[GenerateSpec], shares: list[range]) -> None:
    """Each share of the tasks by a process of its own, or by this one where there is one share; then publish."""
    open_plan(job.storage, job.job_id, plan_of(job.spec, [model_digest(job.storage, TRAIN_JOB)]))
    if len(shares) == 1:
        make_tasks(job.to_plain(), shares[0])
    else:
        with ProcessPoolExecutor(len(shares), get_context("spawn")) as workers:
            list(workers.map(make_tasks, [job.to_plain()] * len(shares), shares))
    publish(job, list(read_commits(job.storage, job.job_id, range(TASKS))))


def published(job: JobContext[GenerateSpec]) -> dict[str, str]:
    return {output.name: output.sha256 for output in load_manifest(job.storage, job.job_id).outputs}


@pytest.mark.slow
def test_one_two_and_four_workers_publish_the_same(store: LocalStorage) -> None:
    found = []
    for workers in (1, 2, 4):
        job = context(store, f"generate-{workers}", workers)
        run(job, [range(first, TASKS, workers) for first in range(workers)])
        found.append(published(job))
    assert len(found[0]) == TASKS + 2  # with summary.json and sheet.png
    assert found[0] == found[1] == found[2]


def test_two_drivers_of_one_job_publish_what_one_does(store: LocalStorage) -> None:
    alone, contested = context(store, "generate-alone"), context(store, "generate-contested")
    run(alone, [range(TASKS)])
    both = [context_from_plain(contested.to_plain(), GenerateSpec) for _ in range(2)]
    together = Barrier(2)

    def drive(job: JobContext[GenerateSpec]) -> dict[str, str]:
        open_plan(job.storage, job.job_id, plan_of(job.spec, [model_digest(job.storage, TRAIN_JOB)]))
        work(job, range(TASKS), together)
        publish(job, list(read_commits(job.storage, job.job_id, range(TASKS))))
        return published(job)

    with ThreadPoolExecutor(2) as drivers:
        found = list(drivers.map(drive, both))
    assert found == [published(alone)] * 2
    assert committed(store, contested.job_id) == set(range(TASKS))
    counting = {job_key(contested.job_id, one.part) for one in read_commits(store, contested.job_id, range(TASKS))}
    assert {entry.key for entry in store.list(job_key(contested.job_id, PARTS))} == counting
