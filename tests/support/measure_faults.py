"""What a store that breaks three requests of ten costs a generate job, with all pauses between attempts.

`python -m tests.support.measure_faults` makes the same images through a clean and a faulty proxy, in turn, and prints
seconds.
"""

import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from moto.server import ThreadedMotoServer

from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.s3 import s3_client
from jobs.generate.job import publish
from jobs.generate.shard_maker import ShardMaker
from jobs.record.context import JobContext
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import read_commits
from tests.conftest import CREDENTIALS
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model
from tests.support.flaky_store import flaky_proxy

TASKS, PER_TASK = 40, 100
TIMEOUT_SEC = "1"
THREADS = 2
"""Tasks at a time, as a worker with one core has."""
SHARES = {"clean": 0.0, "faulty": 0.3}
ROUNDS = 3


def main() -> None:
    os.environ.update(CREDENTIALS)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = Settings(store="s3://faults", s3_endpoint=f"http://{host}:{port}", s3_region="us-east-1")
    s3_client(settings).create_bucket(Bucket="faults")
    storage = open_storage(settings)
    put_dataset(storage)
    put_model(storage)
    seconds: dict[str, list[float]] = {name: [] for name in SHARES}
    for number in range(ROUNDS):
        for name, share in SHARES.items():
            seconds[name].append(run(settings, f"generate-{name}-{number}", share, number))
            print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr)
    server.stop()
    clean, faulty = (median(seconds[name]) for name in SHARES)
    print(f"{TASKS * PER_TASK} images: clean {clean:.1f} s, faulty {faulty:.1f} s, ratio {faulty / clean:.2f}")


def run(settings: Settings, job_id: str, share: float, seed: int) -> float:
    """Seconds that a worker and the driver of a job take."""
    spec = GenerateSpec(model=TRAIN_JOB, count=TASKS * PER_TASK, images_per_shard=PER_TASK)
    with flaky_proxy(str(settings.s3_endpoint), share, seed) as (endpoint, _):
        through = settings.model_copy(update={"s3_endpoint": endpoint, "s3_timeout": TIMEOUT_SEC})
        job = JobContext(job_id, spec, through, open_storage(through))
        started = time.perf_counter()
        maker = ShardMaker(job)
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(maker.make, range(TASKS)))
        publish(job, list(read_commits(job.storage, job_id, range(TASKS))))
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
