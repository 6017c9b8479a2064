"""What rank 0 of a train job does with each report: progress, history, grids, checkpoints, the model."""

import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from anomaly_gan.config import GenerationConfig
from anomaly_gan.evaluation.crop_files import crop_bytes
from anomaly_gan.evaluation.preview import Preview, Previewer
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS, published_in_words
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.generation.snapshot import Snapshot, snapshot_bytes
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.samples.sample import encode_png
from anomaly_gan.training import checkpoint
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.image_pool import Histories
from anomaly_gan.training.loop import StepReport
from anomaly_gan.training.method import Method
from anomaly_gan.training.validation import LearntAndHeld
from infra.errors import NotFoundError
from jobs.record.context import JobContext
from jobs.record.status import job_key
from jobs.spec.specs import TrainSpec
from jobs.train.checkpoints import CheckpointStore
from jobs.train.features import features_name
from jobs.train.preemption import GraceWatch
from jobs.train.publication import PUBLISHED_MEASURE, Publication

PREVIEW_IMAGES = 32
GRID_ROWS = 6
HISTORY = "out/history.json"


class TrainObserver:
    """Observes one run; everything it knows survives a restart in the store."""

    def __init__(
        self,
        context: JobContext[TrainSpec],
        data: LearntAndHeld,
        source: BatchSource,
        method: Method,
        aware: AwareNetwork,
        checkpoints: CheckpointStore,
        publication: Publication,
        record: dict[str, Any],
    ) -> None:
        self._context = context
        self._spec = context.spec
        self._method = method
        self._checkpoints = checkpoints
        self._publication = publication
        self._record = record
        self._reporter = context.reporter()
        self._grace = GraceWatch(self._spec.resources.stop_grace_sec)
        config = GenerationConfig(seed=self._spec.train.seed)
        # pictures that were not learnt from, where there are some
        normals = data.held_normals or data.normals
        plan = GenerationPlan(normals, data.pool, self._spec.view, self._spec.train.masks, config)
        self._previewer = Previewer(plan, source, aware, self._spec.train.crop, PREVIEW_IMAGES)
        self._history = [row for row in self._load_history() if row["step"] <= method.step]
        self.measures: dict[str, float] = {}
        self._folder = tempfile.TemporaryDirectory()
        self._board = SummaryWriter(self._folder.name, purge_step=method.step or None)
        self._reporter.update("training", method.step, self._spec.train.total_steps, "steps")
        print(publication.beginning, flush=True)
        if publication.sees_first_weights and method.step == 0:
            first = self._previewer.draw(method.generator)
            publication.measure(0, first.images, first.measures)

    def observe(self, report: StepReport, image_pools: dict[str, Histories]) -> None:
        """Note, draw and keep what the report says is due.

        Args:
            image_pools: of all ranks, where a checkpoint is due.
        """
        started = time.monotonic()
        preview = None
        if report.is_checkpoint or report.is_sample:
            preview = self._previewer.draw(self._method.generator)
            self.measures = preview.measures
        # a stop in between makes no candidate: what is chosen must not depend on stops
        if preview is not None and report.is_scheduled:
            self.measures = self._publication.measure(report.step, preview.images, preview.measures)
            if self._publication.seen is not None:
                self._write(f"out/{features_name(report.step)}", crop_bytes(self._publication.seen))
        self._history.append(
            {
                "step": report.step,
                "nimg": report.nimg,
                "images_per_sec": report.images_per_sec,
                "data_wait": report.data_wait,
                "warnings": report.warnings,
                "losses": report.losses,
                "measures": self.measures if preview else {},
                **({"memory": asdict(report.memory)} if report.memory else {}),
            }
        )
        if report.memory is not None:
            self._record["memory"] = asdict(report.memory)
        self._log(report)
        if preview is not None and report.is_sample:
            self._save_grid(report.step, preview)
        if preview is not None and report.is_checkpoint:
            self._save_history()
            self._save_checkpoint(image_pools)
            self._warn_of_grace(report, time.monotonic() - started)
            if report.is_stopped:
                print(f"checkpoint of step {report.step} saved: asked to stop", flush=True)

    @property
    def final_measures(self) -> dict[str, float]:
        """The last measures, and that of what would be published if the run ended now."""
        return {**self.measures, PUBLISHED_MEASURE: self._publication.published_measure}

    def finish(self) -> None:
        """Leave the model, the history and the TensorBoard files in out/; the caller makes them visible."""
        self._save_history()
        if not self.measures:  # the run was over when it went on
            preview = self._previewer.draw(self._method.generator)
            self.measures = self._publication.measure(self._method.step, preview.images, preview.measures)
        record = {**self._record, **self._publication.record(self.measures)}
        snapshot = Snapshot(
            self._publication.generator, self._spec.class_name, self._spec.view, self._spec.train, record
        )
        weights, description = snapshot_bytes(snapshot)
        print(f"published: {published_in_words(record)}", flush=True)
        self._write(f"out/model/{WEIGHTS}", weights)
        self._write(f"out/model/{DESCRIPTION}", description)
        self._board.close()
        self._folder.cleanup()

    def _log(self, report: StepReport) -> None:
        for name, value in report.losses.items():
            self._board.add_scalar(f"loss/{name}", value, report.step)
        self._board.add_scalar("images_per_sec", report.images_per_sec, report.step)
        self._board.add_scalar("data_wait", report.data_wait, report.step)
        self._board.add_scalar("learning_rate_factor", report.learning_rate_factor, report.step)
        for name, value in self._history[-1]["measures"].items():
            self._board.add_scalar(f"measure/{name}", value, report.step)
        values = {**report.losses, **self.measures}
        self._reporter.update(
            "training",
            report.step,
            report.total_steps,
            "steps",
            images_per_sec=report.images_per_sec,
            values=values,
        )
        shown = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        print(
            f"step {report.step}/{report.total_steps}  {report.images_per_sec:.1f} images/s"
            f"  data wait {report.data_wait:.1%}  {shown}",
            flush=True,
        )
        if report.memory is not None:
            print(report.memory.summary(), flush=True)
        for warning in report.warnings:
            print(f"warning: {warning}", flush=True)

    def _warn_of_grace(self, report: StepReport, checkpoint_sec: float) -> None:
        """Warn where the grace is too short; the warning is in the history from its next writing on."""
        warning = self._grace.look(self._spec.train.batch_size / report.images_per_sec, checkpoint_sec)
        if warning is not None:
            late = f"step {report.step}: {warning}"
            self._history[-1]["warnings"] = (*report.warnings, late)
            print(f"warning: {late}", flush=True)

    def _save_checkpoint(self, image_pools: dict[str, Histories]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            checkpoint.save(self._method, image_pools, path, self._publication.state_dict())
            self._checkpoints.save(self._method.step, path)

    def _save_grid(self, step: int, preview: Preview) -> None:
        grid = preview.grid(GRID_ROWS)
        self._write(f"out/samples/step-{step:08d}.png", encode_png(grid))
        self._board.add_image("samples", torch.tensor(grid), step, dataformats="HWC")

    def _save_history(self) -> None:
        self._write(HISTORY, json.dumps(self._history).encode())
        self._board.flush()
        for path in Path(self._folder.name).iterdir():
            self._write(f"out/tensorboard/{path.name}", path.read_bytes())

    def _load_history(self) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = json.loads(self._context.storage.read(job_key(self._context.job_id, HISTORY)))
        except NotFoundError:
            return []
        return rows

    def _write(self, name: str, data: bytes) -> None:
        self._context.storage.write(job_key(self._context.job_id, name), data)
