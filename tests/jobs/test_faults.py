"""Generation over a store that breaks three requests of ten, and over one that is gone."""

import uuid
from types import SimpleNamespace

import pytest

from infra.errors import StorageError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.s3 import s3_client
from jobs.generate.job import publish
from jobs.generate.shard_maker import ShardMaker
from jobs.operations.garbage import find_garbage, remove
from jobs.record.context import JobContext
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import JobState
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import committed
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_dataset, put_model, put_spec, put_status
from tests.support.flaky_store import CUT_BODY, FAULTS, FlakyProxy, flaky_proxy

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("no_pauses")]

COUNT, PER_TASK = 24, 2
MAX_ATTEMPTS = 8
TIMEOUT_SEC = "1"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once: what is tested is that they come, not how long they wait."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr("botocore.retries.adaptive.ClientRateLimiter.on_sending_request", lambda *_, **__: None)
    monkeypatch.setattr("infra.storage.s3.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def job(s3_endpoint: str) -> JobContext[GenerateSpec]:
    """A generate job of a tiny model, over the store itself."""
    settings = Settings(store=f"s3://{uuid.uuid4().hex}/runs", s3_endpoint=s3_endpoint, s3_region="us-east-1")
    s3_client(settings).create_bucket(Bucket=str(settings.store).split("/")[2])
    storage = open_storage(settings)
    put_dataset(storage)
    put_model(storage)
    spec = GenerateSpec(model=TRAIN_JOB, count=COUNT, images_per_shard=PER_TASK)
    put_spec(storage, GENERATE_JOB, spec)
    return JobContext(GENERATE_JOB, spec, settings, storage)


def through(job: JobContext[GenerateSpec], endpoint: str) -> JobContext[GenerateSpec]:
    settings = job.settings.model_copy(update={"s3_endpoint": endpoint, "s3_timeout": TIMEOUT_SEC})
    return JobContext(job.job_id, job.spec, settings, open_storage(settings))


def run(job: JobContext[GenerateSpec]) -> None:
    maker = ShardMaker(job)
    publish(job, [maker.make(task)[0] for task in range(COUNT // PER_TASK)])


def most_attempts(proxy: FlakyProxy, method: str, part: str) -> int:
    """Of one request: keys of parts and commits are written once, and shards of the data set read once."""
    return max(number for (sent, path), number in proxy.attempts.items() if sent == method and part in path)


def test_a_job_succeeds_though_three_requests_of_ten_break(job: JobContext[GenerateSpec], s3_endpoint: str) -> None:
    with flaky_proxy(s3_endpoint, share=0.3) as (endpoint, proxy):
        flaky = through(job, endpoint)
        run(flaky)
        shards = [one for one in load_manifest(flaky.storage, job.job_id).outputs if one.name.startswith("shards/")]
        assert set(proxy.broken) == {CUT_BODY, *FAULTS}
        assert most_attempts(proxy, "PUT", "/parts/") <= MAX_ATTEMPTS
        assert most_attempts(proxy, "PUT", "/commits/") <= MAX_ATTEMPTS
        assert most_attempts(proxy, "GET", "/datasets/tiles/") <= MAX_ATTEMPTS
    assert len(shards) == COUNT // PER_TASK
    assert all(read_output(job.storage, job.job_id, shard) for shard in shards)
    put_status(job.storage, job.job_id, JobState.SUCCEEDED)
    remove(job.storage, find_garbage(job.storage))
    parts = job.storage.list(f"jobs/{job.job_id}/out/parts/")
    assert {entry.key for entry in parts} == {shard.key(job.job_id) for shard in shards}


@pytest.mark.parametrize("only", ["500", "hang"])
def test_no_request_is_sent_more_than_eight_times(job: JobContext[GenerateSpec], s3_endpoint: str, only: str) -> None:
    with flaky_proxy(s3_endpoint, share=1.0) as (endpoint, proxy):
        proxy.only = only
        storage = open_storage(job.settings.model_copy(update={"s3_endpoint": endpoint, "s3_timeout": "0.2"}))
        with pytest.raises(StorageError, match="a: "):
            storage.read("a")
        with pytest.raises(StorageError, match="a: "):
            storage.create("a", b"new")
        assert set(proxy.attempts.values()) == {MAX_ATTEMPTS}


@pytest.mark.parametrize("key", ["there", "missing"])
def test_an_answer_that_is_always_cut_is_asked_for_eight_times(
    job: JobContext[GenerateSpec], s3_endpoint: str, key: str
) -> None:
    job.storage.write("there", bytes(100_000))
    with flaky_proxy(s3_endpoint, share=1.0) as (endpoint, proxy):
        proxy.only = CUT_BODY
        with pytest.raises(StorageError, match=f"{key}: .*check endpoint"):
            through(job, endpoint).storage.read(key)
        assert set(proxy.attempts.values()) == {MAX_ATTEMPTS}


def test_an_answer_that_is_cut_is_asked_for_again(job: JobContext[GenerateSpec], s3_endpoint: str) -> None:
    job.storage.write("a", bytes(100_000))
    with flaky_proxy(s3_endpoint, share=1.0) as (endpoint, proxy):
        proxy.only, proxy.most = CUT_BODY, MAX_ATTEMPTS - 1
        assert through(job, endpoint).storage.read("a") == bytes(100_000)
        assert set(proxy.attempts.values()) == {MAX_ATTEMPTS}


def test_a_store_that_is_gone_gives_one_clear_error_and_the_job_can_go_on(
    job: JobContext[GenerateSpec], s3_endpoint: str
) -> None:
    with flaky_proxy(s3_endpoint, share=0.0) as (endpoint, proxy):
        maker = ShardMaker(through(job, endpoint))
        maker.make(0)
        proxy.share = 1.0
        with pytest.raises(StorageError, match=r"part-00000001-.*: .*(check endpoint|the store answered)"):
            maker.make(1)
        assert most_attempts(proxy, "PUT", "/parts/") == MAX_ATTEMPTS
    assert committed(job.storage, job.job_id) == {0}
    run(job)
    assert committed(job.storage, job.job_id) == set(range(COUNT // PER_TASK))
