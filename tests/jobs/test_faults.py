"""Generation over a store that breaks three requests of ten, and over one that is gone."""

import uuid

import pytest

from infra.errors import StorageError
from infra.settings import Settings
from infra.storage import open_storage
from infra.storage_s3 import s3_client
from jobs.context import JobContext
from jobs.garbage import find_garbage, remove
from jobs.generate import publish
from jobs.manifest import load_manifest, read_output
from jobs.record import JobState
from jobs.shard_maker import ShardMaker
from jobs.spec import GenerateSpec
from jobs.tasks import committed
from tests.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_dataset, put_model, put_spec, put_status
from tests.flaky_store import FlakyProxy, flaky_proxy

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("no_pauses")]

COUNT, PER_TASK = 24, 2
MAX_ATTEMPTS = 8


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once: what is tested is that they come, not how long they wait."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr("botocore.retries.adaptive.ClientRateLimiter.on_sending_request", lambda *_, **__: None)


@pytest.fixture
def job(s3_endpoint: str) -> JobContext:
    """A generate job of a tiny model, over the store itself."""
    settings = Settings(store=f"s3://{uuid.uuid4().hex}/runs", s3_endpoint=s3_endpoint, s3_region="us-east-1")
    s3_client(settings).create_bucket(Bucket=str(settings.store).split("/")[2])
    storage = open_storage(settings)
    put_dataset(storage)
    put_model(storage)
    spec = GenerateSpec(model=TRAIN_JOB, count=COUNT, images_per_shard=PER_TASK)
    put_spec(storage, GENERATE_JOB, spec)
    return JobContext(GENERATE_JOB, spec, settings, storage)


def through(job: JobContext, endpoint: str) -> JobContext:
    settings = job.settings.model_copy(update={"s3_endpoint": endpoint})
    return JobContext(job.job_id, job.spec, settings, open_storage(settings))


def run(job: JobContext) -> None:
    maker = ShardMaker(job)
    publish(job, [maker.make(task)[0] for task in range(COUNT // PER_TASK)])


def most_attempts(proxy: FlakyProxy) -> int:
    """Of one request; keys of attempts are unique, so each PUT of a part is one request."""
    return max(number for (method, path), number in proxy.attempts.items() if method == "PUT" and "/parts/" in path)


def test_a_job_succeeds_though_three_requests_of_ten_break(job: JobContext, s3_endpoint: str) -> None:
    with flaky_proxy(s3_endpoint, share=0.3) as (endpoint, proxy):
        flaky = through(job, endpoint)
        run(flaky)
        shards = [one for one in load_manifest(flaky.storage, job.job_id).outputs if one.name.startswith("shards/")]
        assert set(proxy.broken) == {"500", "503", "reset", "hang", "lost answer"}
        assert most_attempts(proxy) <= MAX_ATTEMPTS
    assert len(shards) == COUNT // PER_TASK
    assert all(read_output(job.storage, job.job_id, shard) for shard in shards)
    put_status(job.storage, job.job_id, JobState.SUCCEEDED)
    remove(job.storage, find_garbage(job.storage))
    parts = job.storage.list(f"jobs/{job.job_id}/out/parts/")
    assert {entry.key for entry in parts} == {shard.key(job.job_id) for shard in shards}


def test_a_store_that_is_gone_gives_one_clear_error_and_the_job_can_go_on(job: JobContext, s3_endpoint: str) -> None:
    with flaky_proxy(s3_endpoint, share=0.0) as (endpoint, proxy):
        maker = ShardMaker(through(job, endpoint))
        maker.make(0)
        proxy.share = 1.0
        with pytest.raises(StorageError, match=r"part-00000001-.*: .*check endpoint|the store answered"):
            maker.make(1)
        assert most_attempts(proxy) <= MAX_ATTEMPTS
    assert committed(job.storage, job.job_id) == {0}
    run(job)
    assert committed(job.storage, job.job_id) == set(range(COUNT // PER_TASK))
