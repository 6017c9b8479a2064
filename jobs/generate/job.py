"""The generate job: a driver that hands tasks to actors, and publishes what they committed."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import ray

from anomaly_gan.drawing.sheets import class_colors, contact_sheet, sample_tile
from anomaly_gan.samples.provenance import anomalies
from anomaly_gan.samples.sample import Sample, decode_sample, encode_png
from infra.errors import AganError, StorageError
from jobs.generate.published import read_members, shard_name
from jobs.generate.task_plan import QUALITY, plan_of
from jobs.library.models.files import model_digest
from jobs.record.context import JobContext, context_from_plain
from jobs.record.manifest import Output, OutputWriter
from jobs.spec.specs import GenerateSpec
from jobs.tasks.commits import TaskCommit, committed, open_plan, read_commits, take_back_broken, total
from jobs.tasks.hand_out import hand_out
from jobs.tasks.ledger import Ledger

SHEET_TILES = 24
SHEET_COLUMNS = 6
SHEET_TILE_PX = 192

ROUNDS = 4
"""Times that missing tasks are done before the job gives up; before publishing, all parts are looked for again."""

SPARE_THREADS = 1
"""Threads of an actor beyond its cores: one has the network while others plan, measure, encode and write."""


def generate(context: JobContext[GenerateSpec]) -> None:
    """Do the tasks that are not yet done, then publish shards, sheet and summary; visible only when complete.

    Raises:
        UsageError: the job was begun with another plan.
        StorageError: parts vanish again and again.
    """
    storage, job_id = context.storage, context.job_id
    spec = context.spec
    models = [spec.model, *(one.model for one in spec.added)]
    plan = open_plan(storage, job_id, plan_of(context.spec, [model_digest(storage, one) for one in models]))
    ledger = Ledger(plan.tasks, read_commits(storage, job_id, sorted(committed(storage, job_id))))
    for _ in range(ROUNDS):
        for task in take_back_broken(storage, job_id, ledger):
            ledger.remove(task)
        todo = ledger.missing()
        if not todo:
            publish(context, ledger)
            return
        _make(context, ledger, todo)
    raise StorageError(f"job {job_id}: parts of it vanish from the store; find out who deletes them, and resume it")


def _make(context: JobContext[GenerateSpec], ledger: Ledger, todo: Sequence[int]) -> None:
    """Have the tasks done by actors, and put their commits into the ledger."""
    resources = context.spec.resources
    threads = resources.cpus_per_worker + SPARE_THREADS
    maker = ray.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        max_restarts=resources.max_failures,
    )(ShardActor).options(max_concurrency=threads)
    actors = [maker.remote(context.to_plain()) for _ in range(min(resources.workers, len(todo)))]
    if ledger.items:
        print(f"{ledger.items} of {context.spec.count} images were done before", flush=True)
    collect(context, ledger, hand_out(actors, todo, threads), len(actors) * threads)


def collect(
    context: JobContext[GenerateSpec], ledger: Ledger, made: Iterable[tuple[dict[str, Any], float]], at_a_time: int
) -> None:
    """Put commits into the ledger as they come, and report them.

    Args:
        made: (commit, images per second of its task).
        at_a_time: tasks that are being done.
    """
    count = context.spec.count
    reporter, done = context.reporter(), ledger.items
    reporter.update("generating", done, count, "images")
    for raw, images_per_sec in made:
        commit = TaskCommit.model_validate(raw)
        ledger.add(commit)
        done += commit.items
        reporter.update("generating", done, count, "images", images_per_sec=images_per_sec * at_a_time)
        print(f"task {commit.task}: {done}/{count} images", flush=True)


class ShardActor:
    """A `ShardMaker` on the cluster; plain values in and out."""

    def __init__(self, raw: dict[str, Any]) -> None:
        from jobs.generate.shard_maker import ShardMaker  # imports torch, which the driver does without

        context = context_from_plain(raw, GenerateSpec)
        self._refusal: AganError | None = None
        try:
            self._maker = ShardMaker(context)
            open_plan(context.storage, context.job_id, self._maker.tasks)
        except AganError as err:  # raised here, Ray would make it a loss of the actor
            self._refusal = err

    def make(self, task: int) -> tuple[dict[str, Any], float]:
        done, images_per_sec = self._maker.make(task)
        return done.model_dump(), images_per_sec

    @ray.method(max_task_retries=-1)
    def ready(self) -> None:
        """Answers once the model is there, however often the process is lost before.

        Raises:
            AganError: what the job needs is broken, or model or versions are not those that it was begun with.
        """
        if self._refusal is not None:
            raise self._refusal


def publish(context: JobContext[GenerateSpec], commits: Iterable[TaskCommit]) -> None:
    """Write what describes the whole, then the manifest; the same commits give the same manifest.

    Args:
        commits: of all tasks, in their order; gone through several times.
    """
    outputs = OutputWriter(context.storage, context.job_id)
    shards = [
        outputs.add(Output(name=shard_name(one.task), size_bytes=one.size_bytes, sha256=one.sha256, stored=one.part))
        for one in commits
    ]
    first = _first_samples(context, shards)
    meta = first[0].meta
    classes = [anomaly["class"] for anomaly in anomalies(meta)]
    totals = total(commits)
    summary = {
        "models": [anomaly["model"] for anomaly in anomalies(meta)],
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


def _first_samples(context: JobContext[GenerateSpec], shards: Sequence[Output]) -> list[Sample]:
    members = islice(read_members(context.storage, context.job_id, shards), SHEET_TILES)
    return [decode_sample(key, found) for key, found in members]
