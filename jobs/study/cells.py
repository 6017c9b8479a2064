"""The cells of a job: which there are, who trains those that the store lacks, and what all of them say together.

    cells/<hash>.npz    a cell that was trained (`anomaly_gan.evaluation.cell_files`); created once
    cells/<hash>.json   what decides it, of which the hash is

Cells belong to no job. A driver that starts again, or another job that asks for the same cell, finds it there.
"""

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.arms import Arm, parse_arm, titles
from anomaly_gan.evaluation.cell_files import cell_bytes, read_cell
from anomaly_gan.evaluation.cells import Cell, FailedCell, run_cell
from anomaly_gan.evaluation.comparison import Comparison, judged
from infra.errors import AganError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.protocol import Storage
from jobs.record.context import JobContext
from jobs.spec.specs import CellsSpec, Resources
from jobs.study.grid import Grid, cell_key
from jobs.study.material import StoredMaterial

REPORTED_STEPS = 50
"""Steps between the lines of a cell in the log."""


@dataclass(frozen=True)
class Order:
    """A cell to be trained, in plain values that cross processes.

    Attributes:
        key: where it is kept.
        arm: as `parse_arm` takes it.
        learner: a `DetectorConfig` with the cell's seed.
        decided_by: what `key` is the hash of.
    """

    key: str
    arm: str
    learner: dict[str, Any]
    decided_by: dict[str, Any]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.learner['name']} on {titles([self.arm])[self.arm]}, seed {self.learner['seed']}"


@dataclass(frozen=True)
class Workplace:
    """What a process needs to train cells of a job."""

    settings: Settings
    grid: Grid
    resources: Resources

    @property
    def device(self) -> str:
        return "cuda" if self.resources.gpus_per_worker else "cpu"

    @property
    def weights_folder(self) -> Path | None:
        return weights_folder(self.settings)


HandOut = Callable[[Workplace, Sequence[Order]], Iterable[tuple[Order, str | None]]]
"""Has cells trained, and yields each as it is done, with a sentence where it failed."""


def weights_folder(settings: Settings) -> Path | None:
    """Where files of pretrained weights are."""
    return Path(settings.weights) if settings.weights else None


def compare(
    context: JobContext[CellsSpec],
    grid: Grid,
    arms: Sequence[Arm],
    learners: Sequence[DetectorConfig],
    seeds: int,
    hand_out: HandOut | None = None,
) -> list[Comparison]:
    """Train the cells that the store lacks, and judge all: a comparison for each detector.

    Args:
        arms: the base first.
        learners: with their first seed.
        seeds: how many.
        hand_out: who trains; None = workers on the cluster.

    Raises:
        AganError: no cell at all has a result; the first one's reason.
    """
    place = Workplace(context.settings, grid, context.spec.resources)
    orders = [
        [_order(place, arm, learner, seed) for seed in range(learner.seed, learner.seed + seeds) for arm in arms]
        for learner in learners
    ]
    every = {order.key: order for of_learner in orders for order in of_learner}
    missing = [order for order in every.values() if not context.storage.exists(order.key)]
    reasons = _train(context, place, missing, len(every), hand_out or on_cluster)
    if len(reasons) == len(every):
        raise AganError(f"no detector could be trained; the first: {next(iter(reasons.values()))}")
    cells = [[load_cell(context.storage, order) for order in of_one if order.key not in reasons] for of_one in orders]
    trained = list(zip(learners, cells, strict=True))
    return [
        judged(its, learner, grid.classes, _failed(of_one, reasons), _shorter(learner, trained))
        for (learner, its), of_one in zip(trained, orders, strict=True)
    ]


def _order(place: Workplace, arm: Arm, learner: DetectorConfig, seed: int) -> Order:
    seeded = learner.model_copy(update={"seed": seed})
    decided_by = place.grid.decided_by(arm, seeded, place.device, place.weights_folder)
    return Order(cell_key(decided_by), arm.name, seeded.model_dump(mode="json"), decided_by)


def _train(
    context: JobContext[CellsSpec], place: Workplace, missing: Sequence[Order], total: int, hand_out: HandOut
) -> dict[str, str]:
    """Key of each cell that failed -> why."""
    reporter, done, reasons = context.reporter(), total - len(missing), {}
    if done:
        print(f"{done} of {total} detectors were trained before", flush=True)
    reporter.update("detectors", done, total, "cells")
    for order, reason in hand_out(place, missing):
        done += 1
        if reason is not None:
            reasons[order.key] = reason
        print(f"{done}/{total} {order.name}: {'failed: ' + reason if reason else 'done'}", flush=True)
        reporter.update("detectors", done, total, "cells")
    return reasons


def _failed(orders: Sequence[Order], reasons: dict[str, str]) -> list[FailedCell]:
    return [
        FailedCell(arm=order.arm, seed=order.learner["seed"], reason=reasons[order.key])
        for order in orders
        if order.key in reasons
    ]


def _shorter(
    learner: DetectorConfig, trained: Sequence[tuple[DetectorConfig, Sequence[Cell]]]
) -> tuple[int, Sequence[Cell]] | None:
    """The next fewer steps of the same detector, and its cells; None where there are none."""
    fewer = [
        (other.steps, cells)
        for other, cells in trained
        if other.steps < learner.steps and other.model_copy(update={"steps": learner.steps}) == learner
    ]
    return max(fewer, key=lambda one: one[0], default=None)


def load_cell(storage: Storage, order: Order) -> Cell:
    """A cell that was kept, under the name that its arm has in this job.

    Raises:
        NotFoundError: it is not there.
        DataError: it is damaged.
    """
    kept = read_cell(storage.read(order.key), storage.url(order.key))
    return replace(kept, result=kept.result.model_copy(update={"arm": order.arm}))


def on_cluster(place: Workplace, orders: Sequence[Order], *, cluster: Any = ray) -> Iterator[tuple[Order, str | None]]:
    """As many cells at a time as there are workers, each a Ray task.

    A task whose process or node is lost is done again, `max_failures` times; then its cell has failed, and no other.

    Args:
        cluster: has `remote`, `wait` and `get`; Ray, or what stands for it in tests.
    """
    resources = place.resources
    # a process does many tasks and keeps its material: without `max_calls` Ray ends one that has a GPU after each task
    task = cluster.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        max_retries=resources.max_failures,
        max_calls=0,
    )(train_cell)
    waiting = list(reversed(orders))
    busy: dict[Any, Order] = {}
    while waiting or busy:
        while waiting and len(busy) < resources.workers:
            order = waiting.pop()
            busy[task.remote(place, order)] = order
        [answer], _ = cluster.wait(list(busy), num_returns=1)
        order = busy.pop(answer)
        try:
            yield order, cluster.get(answer)
        except RayError as err:
            yield order, f"its process was lost too often ({str(err).strip().splitlines()[0]})"


def train_cell(place: Workplace, order: Order) -> str | None:
    """Train a cell and keep it; a sentence where it failed, which is no other cell's business."""
    torch.set_num_threads(place.resources.cpus_per_worker)
    storage = open_storage(place.settings)
    try:
        material = _material(place.settings.model_dump_json(), place.grid.model_dump_json())
        arm, learner = parse_arm(order.arm), DetectorConfig.model_validate(order.learner)

        def report(step: int, loss: float) -> None:
            if step % REPORTED_STEPS == 0 or step == learner.steps:
                print(f"{order.name}: step {step}/{learner.steps}, loss {loss:.3f}", flush=True)

        cell = run_cell(
            arm,
            learner,
            material.of(arm),
            device=place.device,
            weights_folder=place.weights_folder,
            on_step=report,
        )
        storage.write(order.key.replace(".npz", ".json"), json.dumps(order.decided_by, indent=1).encode())
        storage.create(order.key, cell_bytes(cell))  # another job's may be there since; it is the same cell
    except AganError as err:
        return str(err)
    except Exception as err:  # whatever it is, the other cells go on, and the log has the traceback
        traceback.print_exc()
        return f"{type(err).__name__}: {(str(err).strip().splitlines() or ['no message'])[-1]}"
    return None


@lru_cache(maxsize=1)
def _material(settings: str, grid: str) -> StoredMaterial:
    """Kept from one cell to the next of the same job."""
    storage = open_storage(Settings.model_validate_json(settings))
    return StoredMaterial(storage, Grid.model_validate_json(grid))
