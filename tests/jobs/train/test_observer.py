"""What rank 0 leaves in the store and in the log for each report."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.gan.step import train_step
from anomaly_gan.training import checkpoint
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.checkpoint import gather_image_pools
from anomaly_gan.training.memory_use import MemoryUse
from infra.settings import Settings
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext
from jobs.spec.specs import TrainSpec
from jobs.train import observer
from jobs.train.checkpoints import CheckpointStore
from jobs.train.observer import TrainObserver
from tests.support.builders import equal_states, everything, train_config, train_state
from tests.support.builders_jobs import REPORT, RESOLUTION, TRAIN_JOB, put_dataset
from tests.support.helpers import MemoryStorage


class Watched:
    """An observer of a tiny run in an empty store; each look at the generator is two images."""

    def __init__(self, storage: MemoryStorage, step: int = 0) -> None:
        index = put_dataset(storage)
        config = train_config(image_pool=1)
        spec = TrainSpec.model_validate(
            {
                "dataset": f"tiles@{index.version}",
                "class_name": "crack",
                "view": {"size": RESOLUTION},
                "train": config.model_dump(),
            }
        )
        split = load_training_split(storage, spec.dataset, spec.class_name)
        self.source = BatchSource(split.normals, split.abnormals, split.pool, spec.view, config.masks, 0, 2)
        self.storage, self.is_finished = storage, False
        self.state: AnomalyGan = train_state(config)
        self.state.step = step
        self.checkpoints = CheckpointStore(storage, f"jobs/{TRAIN_JOB}/checkpoints")
        context = JobContext(TRAIN_JOB, spec, Settings(), storage)
        record = {"dataset": spec.dataset}
        self.observer = TrainObserver(
            context, split, self.source, self.state, self.state.aware, self.checkpoints, record
        )

    def step(self, **changes: Any) -> None:
        """Train one step and observe a report of it."""
        train_step(self.state, self.source.batch(self.state.step))
        self.state.step += 1
        report = replace(REPORT, step=self.state.step, nimg=self.state.nimg, **changes)
        self.observer.observe(report, gather_image_pools(self.state) if report.is_checkpoint else {})

    def finish(self) -> None:
        self.observer.finish()
        self.is_finished = True

    def outputs(self) -> list[str]:
        base = f"jobs/{TRAIN_JOB}/out/"
        return [entry.key.removeprefix(base) for entry in self.storage.list(base)]

    def history(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.storage.read(f"jobs/{TRAIN_JOB}/out/history.json"))
        return rows


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "PREVIEW_IMAGES", 2)


Watch = Callable[..., Watched]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Make observers; those that are not finished at the end are then, for their temporary folders."""
    made: list[Watched] = []

    def make(storage: MemoryStorage, step: int = 0) -> Watched:
        made.append(Watched(storage, step))
        return made[-1]

    yield make
    for watched in made:
        if not watched.is_finished:
            watched.finish()


@pytest.fixture
def watched(watch: Watch) -> Watched:
    return watch(MemoryStorage())


def test_the_history_holds_every_report_and_is_stored_with_each_checkpoint(watched: Watched) -> None:
    watched.step(warnings=("step 1: beware",))
    assert "history.json" not in watched.outputs()
    watched.step(is_checkpoint=True)
    first, second = watched.history()
    assert (first["step"], first["nimg"], first["data_wait"], first["images_per_sec"]) == (1, 2, 0.25, 7.0)
    assert first["warnings"] == ["step 1: beware"] and second["warnings"] == []
    assert first["losses"] == REPORT.losses
    assert first["measures"] == {} and "crop_kid" in second["measures"]


def test_warnings_and_the_wait_for_data_are_in_the_log(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    watched.step(warnings=("step 1: beware", "step 1: of this too"))
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("step 1/4  7.0 images/s  data wait 25.0%  d1 1.000")
    assert said[1:] == ["warning: step 1: beware", "warning: step 1: of this too"]


def test_what_the_first_steps_took_of_the_memory_is_in_log_history_and_model(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.step(memory=MemoryUse(2**30, 2**29, is_exact=True))
    watched.step(is_checkpoint=True)
    assert "memory: 0.50 GiB of the GPU, 1.00 GiB estimated" in capsys.readouterr().out.splitlines()
    first, second = watched.history()
    assert first["memory"] == {"estimated_bytes": 2**30, "used_bytes": 2**29, "is_exact": True}
    assert "memory" not in second
    watched.finish()
    model = json.loads(watched.storage.read(f"jobs/{TRAIN_JOB}/out/model/model.json"))
    assert model["record"]["memory"] == first["memory"]


def test_a_checkpoint_that_a_stop_would_cut_off_is_warned_of_in_log_and_history(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.step(is_checkpoint=True)
    assert "warning" not in capsys.readouterr().out
    watched.step(is_checkpoint=True, images_per_sec=0.01)
    assert "warning: step 2: a step and a checkpoint take 20" in capsys.readouterr().out
    watched.step(is_checkpoint=True, images_per_sec=0.01)
    assert [len(row["warnings"]) for row in watched.history()] == [0, 1, 0]


def test_a_due_checkpoint_is_stored_with_its_score_and_restores_the_state(watched: Watched, tmp_path: Path) -> None:
    watched.step()
    assert watched.checkpoints.latest_step() is None
    watched.step(is_checkpoint=True)
    [entry] = watched.checkpoints.entries()
    assert entry["step"] == 2 and entry["score"] == watched.observer.measures["crop_kid"]
    watched.checkpoints.load(2, tmp_path / "checkpoint.pt")
    other = train_state(watched.state.config)
    checkpoint.restore(other, tmp_path / "checkpoint.pt", "checkpoint 2")
    assert equal_states(everything(other), everything(watched.state))
    assert other.image_pools["abnl"].histories


def test_a_stop_is_told_once_its_checkpoint_is_there(watched: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    watched.step(is_checkpoint=True)
    assert "asked to stop" not in capsys.readouterr().out
    watched.step(is_checkpoint=True, is_stopped=True)
    assert capsys.readouterr().out.splitlines()[-1] == "checkpoint of step 2 saved: asked to stop"
    assert watched.checkpoints.latest_step() == 2


def test_a_grid_is_stored_where_a_sample_is_due(watched: Watched) -> None:
    watched.step(is_sample=True)
    watched.step(is_checkpoint=True)
    assert [name for name in watched.outputs() if name.startswith("samples/")] == ["samples/step-00000001.png"]
    assert watched.checkpoints.latest_step() == 2


def test_after_a_restart_the_rows_since_the_checkpoint_are_made_anew(watch: Watch) -> None:
    storage = MemoryStorage()
    first = watch(storage)
    first.step()
    first.step(is_checkpoint=True)
    first.step(is_checkpoint=True)
    again = watch(storage, step=2)
    again.step(is_checkpoint=True, images_per_sec=9.0)
    assert [(row["step"], row["images_per_sec"]) for row in again.history()] == [(1, 7.0), (2, 7.0), (3, 9.0)]


def test_the_end_leaves_the_model_with_what_was_measured_last(watched: Watched) -> None:
    watched.step(is_checkpoint=True)
    measures = dict(watched.observer.measures)
    watched.finish()
    told = json.loads(watched.storage.read(f"jobs/{TRAIN_JOB}/out/model/model.json"))
    assert told["class_name"] == "crack"
    assert told["record"] == {"dataset": told["record"]["dataset"], "nimg": 2, "measures": measures}
    assert {"model/generator.safetensors", "history.json"} <= set(watched.outputs())


def test_a_run_that_was_over_before_it_went_on_is_measured_at_its_end(watched: Watched) -> None:
    watched.finish()
    told = json.loads(watched.storage.read(f"jobs/{TRAIN_JOB}/out/model/model.json"))
    assert "crop_kid" in told["record"]["measures"]
