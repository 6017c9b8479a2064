"""What rank 0 leaves in the store and in the log for each report."""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load as load_safetensors

from anomaly_gan.evaluation.anomaly_distance import AnomalyDistance
from anomaly_gan.evaluation.crop_files import read_crops
from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.gan.step import train_step
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.metrics.features.network import FeatureNetwork, load_features
from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.training import checkpoint, validation
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.checkpoint import gather_image_pools
from anomaly_gan.training.memory_use import MemoryUse
from anomaly_gan.training.validation import hold_out
from infra.settings import Settings
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext
from jobs.spec.specs import TrainSpec
from jobs.train import observer, publication
from jobs.train.checkpoints import CheckpointStore
from jobs.train.observer import TrainObserver
from jobs.train.publication import Publication
from tests.support.builders import CPU, equal_states, everything, train_config, train_state, weights_of
from tests.support.builders_jobs import REPORT, RESOLUTION, TRAIN_JOB, put_dataset
from tests.support.helpers import MemoryStorage


class Watched:
    """An observer of a tiny run in an empty store; each look at the generator is two images."""

    def __init__(self, storage: MemoryStorage, step: int = 0, crack: int = 4, *, resumes: bool = False) -> None:
        index = put_dataset(storage, crack=crack)
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
        self.data = hold_out(split.normals, split.abnormals, split.pool, spec.view, config)
        data = self.data
        self.source = BatchSource(data.normals, data.abnormals, data.pool, spec.view, config.masks, 0, 2)
        self.storage, self.is_finished = storage, False
        self.state: AnomalyGan = train_state(config)
        self.state.step = step
        self.checkpoints = CheckpointStore(storage, f"jobs/{TRAIN_JOB}/checkpoints")
        context = JobContext(TRAIN_JOB, spec, Settings(), storage)
        state = self._restored() if resumes else {}
        self.publication = Publication(data, spec.view, self.state, CPU, state)
        record = {"dataset": spec.dataset}
        self.observer = TrainObserver(
            context, data, self.source, self.state, self.state.aware, self.checkpoints, self.publication, record
        )

    def _restored(self) -> dict[str, Any]:
        """Go on from the last checkpoint of the store."""
        step = self.checkpoints.latest_step()
        assert step is not None
        with tempfile.TemporaryDirectory() as folder:
            self.checkpoints.load(step, Path(folder) / "checkpoint.pt")
            return checkpoint.restore(self.state, Path(folder) / "checkpoint.pt", "checkpoint")

    def step(self, **changes: Any) -> None:
        """Train one step and observe a report of it."""
        train_step(self.state, self.source.batch(self.state.step))
        self.state.step += 1
        is_scheduled = changes.get("is_checkpoint", False) and not changes.get("is_stopped", False)
        report = replace(REPORT, step=self.state.step, nimg=self.state.nimg, is_scheduled=is_scheduled, **changes)
        self.observer.observe(report, gather_image_pools(self.state) if report.is_checkpoint else {})

    def finish(self) -> None:
        self.observer.finish()
        self.is_finished = True

    def model(self) -> tuple[bytes, dict[str, Any]]:
        """The published weights, and the record of their description."""
        weights, description = (
            self.storage.read(f"jobs/{TRAIN_JOB}/out/model/{name}") for name in (WEIGHTS, DESCRIPTION)
        )
        return weights, json.loads(description)["record"]

    def outputs(self) -> list[str]:
        base = f"jobs/{TRAIN_JOB}/out/"
        return [entry.key.removeprefix(base) for entry in self.storage.list(base)]

    def history(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.storage.read(f"jobs/{TRAIN_JOB}/out/history.json"))
        return rows


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "PREVIEW_IMAGES", 2)


@pytest.fixture(scope="module")
def features() -> FeatureNetwork:
    return load_features("lite0", side_px=32)


@pytest.fixture(autouse=True)
def quick_features(monkeypatch: pytest.MonkeyPatch, features: FeatureNetwork) -> None:
    monkeypatch.setattr(publication, "load_features", lambda *args, **kwargs: features)


Watch = Callable[..., Watched]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Make observers; those that are not finished at the end are then, for their temporary folders."""
    made: list[Watched] = []

    def make(storage: MemoryStorage, step: int = 0, **more: Any) -> Watched:
        made.append(Watched(storage, step, **more))
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


def test_a_due_checkpoint_is_stored_and_restores_the_state(watched: Watched, tmp_path: Path) -> None:
    watched.step()
    assert watched.checkpoints.latest_step() is None
    watched.step(is_checkpoint=True)
    assert [entry["step"] for entry in watched.checkpoints.entries()] == [2]
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
    _, record = watched.model()
    assert (record["nimg"], record["measures"]) == (2, measures)
    assert record["dataset"] == watched.observer._spec.dataset
    assert {"model/generator.safetensors", "history.json"} <= set(watched.outputs())


def test_a_run_that_was_over_before_it_went_on_is_measured_at_its_end(watched: Watched) -> None:
    watched.finish()
    told = json.loads(watched.storage.read(f"jobs/{TRAIN_JOB}/out/model/model.json"))
    assert "crop_kid" in told["record"]["measures"]


ENOUGH = 24
"""Pictures of the class of which a validation split can be held out: 18 are of the training split."""


@pytest.fixture
def named_distances(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The distances of the next checkpoints, in place of those that are measured."""
    left: list[float] = []

    def of(self: AnomalyDistance, crops: Any) -> HalvedDistance:
        value = left.pop(0)
        return HalvedDistance(value, (value, value))

    monkeypatch.setattr(AnomalyDistance, "of", of)
    monkeypatch.setattr(validation, "LEAST_ANOMALIES", 2)
    return left


def test_the_model_has_the_weights_of_the_best_checkpoint(watch: Watch, named_distances: list[float]) -> None:
    watched = watch(MemoryStorage(), crack=ENOUGH)
    assert watched.data.held_abnormals
    named_distances += [0.3, 0.1, 0.2]
    made = []
    for _ in range(3):
        watched.step(is_checkpoint=True)
        made.append(weights_of(watched.state.generator))
    watched.finish()
    weights, record = watched.model()
    assert equal_states(load_safetensors(weights), made[1]) and not equal_states(made[1], made[2])
    assert (record["published"]["step"], record["nimg"], record["published"]["value"]) == (2, 4, 0.1)
    assert [row["measures"]["anomaly_kid"] for row in watched.history()] == [0.3, 0.1, 0.2]


def test_each_checkpoint_leaves_the_features_of_what_it_drew(watch: Watch, named_distances: list[float]) -> None:
    watched = watch(MemoryStorage(), crack=ENOUGH)
    named_distances += [0.3, 0.2]
    watched.step(is_checkpoint=True)
    watched.step(is_checkpoint=True, is_stopped=True)
    watched.step(is_checkpoint=True)
    assert [name for name in watched.outputs() if "features" in name] == [
        "features/step-00000001.npz", "features/step-00000003.npz",
    ]  # fmt: skip
    first, last = (
        read_crops(watched.storage.read(f"jobs/{TRAIN_JOB}/out/features/step-0000000{step}.npz"), "a file")
        for step in (1, 3)
    )
    assert first.groups == last.groups and set(first.groups) == {"gen-00000000", "gen-00000001"}
    assert first.features.source.network == "lite0"


def test_of_few_pictures_the_first_weights_are_measured_before_the_first_step(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Publication, "sees_first_weights", True)

    def measure(self: Publication, step: int, images: object, measures: dict[str, float]) -> dict[str, float]:
        seen.append(step)
        return measures

    monkeypatch.setattr(Publication, "measure", measure)
    watched = watch(MemoryStorage())
    watched.step(is_checkpoint=True)
    assert seen == [0, 1]
    watch(watched.storage, step=1, resumes=True)
    assert seen == [0, 1]


def test_a_search_is_told_the_measure_of_what_would_be_published(watch: Watch, named_distances: list[float]) -> None:
    watched = watch(MemoryStorage(), crack=ENOUGH)
    named_distances += [0.1, 0.2]
    for _ in range(2):
        watched.step(is_checkpoint=True)
    told = watched.observer.final_measures
    assert (told["anomaly_kid"], told["published_kid"]) == (0.2, 0.1)


def test_a_stop_in_between_makes_no_candidate(watch: Watch, named_distances: list[float]) -> None:
    watched = watch(MemoryStorage(), crack=ENOUGH)
    named_distances += [0.3]
    watched.step(is_checkpoint=True)
    watched.step(is_checkpoint=True, is_stopped=True)
    watched.finish()
    assert watched.model()[1]["published"]["step"] == 1


def test_a_killed_and_resumed_run_publishes_the_same(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "LEAST_ANOMALIES", 2)
    straight = watch(MemoryStorage(), crack=ENOUGH)
    for _ in range(4):
        straight.step(is_checkpoint=True)
    killed = watch(MemoryStorage(), crack=ENOUGH)
    for _ in range(2):
        killed.step(is_checkpoint=True)
    killed.step()
    resumed = watch(killed.storage, crack=ENOUGH, resumes=True)
    assert resumed.state.step == 2
    for _ in range(2):
        resumed.step(is_checkpoint=True)
    for one in (straight, resumed):
        one.finish()
    assert straight.model() == resumed.model()


def test_the_best_checkpoint_of_before_a_kill_is_published(watch: Watch, named_distances: list[float]) -> None:
    killed = watch(MemoryStorage(), crack=ENOUGH)
    named_distances += [0.1, 0.3]
    killed.step(is_checkpoint=True)
    wanted = weights_of(killed.state.generator)
    resumed = watch(killed.storage, crack=ENOUGH, resumes=True)
    resumed.step(is_checkpoint=True)
    resumed.finish()
    weights, record = resumed.model()
    assert equal_states(load_safetensors(weights), wanted) and record["published"]["step"] == 1


def test_samples_are_made_from_pictures_that_were_not_learnt_from(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, named_distances: list[float]
) -> None:
    seen: set[str] = set()

    look = AnomalyDistance.seen

    def looked(self: AnomalyDistance, images: Any) -> CropFeatures:
        seen.update(made.sample.meta["normal"] for made in images)
        return look(self, images)

    named_distances += [0.1]
    monkeypatch.setattr(AnomalyDistance, "seen", looked)
    watched = watch(MemoryStorage(), crack=ENOUGH)
    watched.step(is_checkpoint=True)
    assert seen and seen <= {sample.key for sample in watched.data.held_normals}
