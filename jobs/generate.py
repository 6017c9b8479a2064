"""The generate job: a driver that hands tasks to actors, and publishes what they committed."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import ray

from anomaly_gan.data import Sample, decode_sample, encode_png
from anomaly_gan.mixing import anomalies
from anomaly_gan.sheets import class_colors, contact_sheet, sample_tile
from infra.errors import StorageError
from jobs.context import JobContext, context_from_plain
from jobs.generated import read_members, shard_name
from jobs.hand_out import hand_out
from jobs.manifest import Output, OutputWriter
from jobs.shard_maker import QUALITY, ShardMaker, plan_of
from jobs.tasks import TaskCommit, TaskPlan, committed, open_plan, read_commits, total, whole_commits

SHEET_TILES = 24
SHEET_COLUMNS = 6
SHEET_TILE_PX = 192

ROUNDS = 4
"""Of making what is missing; what was made is looked for again before it is published."""

SPARE_THREADS = 1
"""Tasks of an actor beyond its cores: one has the network while others plan, measure, encode and write."""


def generate(context: JobContext) -> None:
    """Do the tasks that are not yet done, then publish shards, sheet and summary; visible only when complete.

    Raises:
        UsageError: the job was begun with another plan.
        StorageError: parts vanish again and again.
    """
    plan = open_plan(context.storage, context.job_id, plan_of(context))
    storage, job_id = context.storage, context.job_id
    commits = read_commits(storage, job_id, sorted(committed(storage, job_id)))
    for _ in range(ROUNDS):
        commits = whole_commits(storage, job_id, commits)
        done = {one.task for one in commits}
        todo = [task for task in range(plan.tasks) if task not in done]
        if not todo:
            publish(context, sorted(commits, key=lambda one: one.task))
            return
        commits += _make(context, plan, todo, sum(one.items for one in commits))
    raise StorageError(f"job {job_id}: parts of it vanish from the store; find out who deletes them, and resume it")


def _make(context: JobContext, plan: TaskPlan, todo: Sequence[int], images_done: int) -> list[TaskCommit]:
    """The commits of the tasks, in the order in which they were done."""
    resources = context.spec.resources
    threads = resources.cpus_per_worker + SPARE_THREADS
    maker = ray.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        max_restarts=resources.max_failures,
    )(ShardActor).options(max_concurrency=threads)
    workers = min(resources.workers, len(todo))
    actors = [maker.remote(context.to_plain()) for _ in range(workers)]
    reporter = context.reporter()
    commits: list[TaskCommit] = []
    if images_done:
        print(f"{images_done} of {plan.count} images were done before", flush=True)
    reporter.update("generating", images_done, plan.count, "images")
    for raw, images_per_sec in hand_out(actors, todo, threads):
        commits.append(TaskCommit.model_validate(raw))
        images_done += commits[-1].items
        speed = images_per_sec * workers * threads
        reporter.update("generating", images_done, plan.count, "images", images_per_sec=speed)
        print(f"task {commits[-1].task}: {images_done}/{plan.count} images", flush=True)
    return commits


class ShardActor:
    """A `ShardMaker` on the cluster; plain values in and out."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._maker = ShardMaker(context_from_plain(raw))

    def make(self, task: int) -> tuple[dict[str, Any], float]:
        done, images_per_sec = self._maker.make(task)
        return done.model_dump(), images_per_sec

    @ray.method(max_task_retries=-1)
    def ready(self) -> None:
        """Answers once the model is there, however often the process is lost before."""


def publish(context: JobContext, commits: Sequence[TaskCommit]) -> None:
    """Write what describes the whole, then the manifest; the same commits give the same manifest."""
    outputs = OutputWriter(context.storage, context.job_id)
    shards = [
        outputs.add(Output(name=shard_name(one.task), size_bytes=one.size_bytes, sha256=one.sha256, stored=one.part))
        for one in commits
    ]
    first = _first_samples(context, shards)
    meta = first[0].meta
    classes = [told["class"] for told in anomalies(meta)]
    totals = total(commits)
    summary = {
        "models": [told["model"] for told in anomalies(meta)],
        "classes": classes,
        "dataset": meta["dataset"],
        "images": sum(one.items for one in commits),
        "measures": {
            name: {"mean": value / number if number else None, "n": number}
            for name, (value, number) in totals.items()
            if not name.startswith(QUALITY)
        },
        "quality": {
            name.removeprefix(QUALITY): int(value) for name, (value, _) in totals.items() if name.startswith(QUALITY)
        },
    }
    outputs.write("summary.json", json.dumps(summary, indent=1).encode())
    colors = class_colors(classes)
    tiles = [sample_tile(sample, SHEET_TILE_PX, colors) for sample in first]
    outputs.write("sheet.png", encode_png(contact_sheet(tiles, SHEET_COLUMNS, SHEET_TILE_PX)))
    outputs.commit()


def _first_samples(context: JobContext, shards: Sequence[Output]) -> list[Sample]:
    members = islice(read_members(context.storage, context.job_id, shards), SHEET_TILES)
    return [decode_sample(key, found) for key, found in members]
