"""A study: its grid is filled once, goes on where it ended, shares its cells, and outlives a cell that fails."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anomaly_gan.evaluation.arms import parse_arms
from anomaly_gan.evaluation.cells import Cell, run_cell
from anomaly_gan.evaluation.comparison import Comparison
from infra.errors import AganError, DataError, TrainingError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.record.context import JobContext
from jobs.record.manifest import load_manifest
from jobs.record.status import job_key
from jobs.spec.specs import Resources, StudySpec
from jobs.study import cells
from jobs.study.cells import Workplace, compare, on_cluster
from jobs.study.grid import grid_of_study
from tests.support.builders_jobs import put_dataset, put_status
from tests.support.builders_studies import TINY_LEARNER, InThisProcess, put_job_of, run_study, study_spec


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    made = LocalStorage(tmp_path / "store")
    put_dataset(made)
    put_status(made, "study-1")
    return made


def kept(storage: LocalStorage) -> set[str]:
    return {entry.key for entry in storage.list("cells/") if entry.key.endswith(".npz")}


def figures(storage: LocalStorage, job_id: str = "study-1") -> list[Comparison]:
    stored = json.loads(storage.read(job_key(job_id, "out/study.json")))
    return [Comparison.model_validate(one) for one in stored["detectors"]]


def page(storage: LocalStorage, job_id: str = "study-1") -> str:
    return storage.read(job_key(job_id, "out/report.html")).decode()


def test_a_study_fills_its_grid_and_leaves_a_page_figures_and_a_table(storage: LocalStorage) -> None:
    jobs = [put_job_of(storage, name) for name in ("crack", "hole")]
    arm, worker = f"real+generated:{','.join(jobs)}", InThisProcess()
    run_study(storage, study_spec(storage, ["none", "flips", "copy_paste", arm]), worker)
    assert len(worker.done) == 8 == len(kept(storage))
    [comparison] = figures(storage)
    assert comparison.classes == ("crack", "hole")
    assert comparison.arms == ["none", "flips", "copy_paste", arm]
    assert comparison.verdicts.keys() == {"flips", "copy_paste", arm}
    assert (
        comparison.of_arm(arm)[0].pictures["generated"]
        == 6
        == comparison.of_arm("copy_paste")[0].pictures["copy_paste"]
    )
    assert {output.name for output in load_manifest(storage, "study-1").outputs} == {
        "report.html", "study.json", "cells.csv",
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(storage.read(job_key("study-1", "out/cells.csv")).decode())))
    assert [(row["learner"], row["arm"], row["seed"]) for row in rows] == [
        ("segmenter", cell.arm, str(cell.seed)) for cell in comparison.cells
    ]
    first = comparison.cells[0]
    assert float(rows[0]["mask AP"]) == first.scores.mask_ap and float(rows[0]["pixel AP hole"]) >= 0
    assert "Class by class" in page(storage) and "real + generated" in page(storage)


def test_a_study_that_was_stopped_goes_on_with_the_cells_that_it_lacks(storage: LocalStorage) -> None:
    spec, stopped, resumed = study_spec(storage, ["none", "flips"]), InThisProcess(stop_after=3), InThisProcess()
    with pytest.raises(KeyboardInterrupt):
        run_study(storage, spec, stopped)
    assert len(kept(storage)) == 3
    run_study(storage, spec, resumed)
    assert [order.key for order in (*stopped.done, *resumed.done)] == list(
        dict.fromkeys(order.key for order in (*stopped.done, *resumed.done))
    )
    assert (len(resumed.done), len(kept(storage))) == (1, 4)
    other = LocalStorage(Path(storage.uri) / "whole")
    put_dataset(other)
    run_study(other, study_spec(other, ["none", "flips"]), InThisProcess())
    assert figures(other) == figures(storage)


def test_another_job_takes_the_cells_that_it_shares(storage: LocalStorage) -> None:
    """Those of a third seed and of another arm are new, all others are not trained again."""
    first, second, third = InThisProcess(), InThisProcess(), InThisProcess()
    run_study(storage, study_spec(storage, ["none", "flips"]), first)
    run_study(storage, study_spec(storage, ["none", "flips@0.25"], seeds=3), second, "study-2")
    assert [(order.arm, order.learner["seed"]) for order in second.done] == [
        ("flips@0.25", 0), ("flips@0.25", 1), ("none", 2), ("flips@0.25", 2),
    ]  # fmt: skip
    run_study(storage, study_spec(storage, ["none", "flips@0.5"]), third, "study-3")
    assert third.done == []
    [comparison] = figures(storage, "study-3")
    assert comparison.arms == ["none", "flips@0.5"]


def failing(run: Callable[..., Cell], error: Exception) -> Callable[..., Cell]:
    """`run_cell`, but for the flips of seed 1."""

    def maybe(arm: Any, config: Any, *args: Any, **others: Any) -> Cell:
        if arm.name == "flips" and config.seed == 1:
            raise error
        return run(arm, config, *args, **others)

    return maybe


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingError("detector: loss is not finite at step 1"), "detector: loss is not finite at step 1"),
        (RuntimeError("out of memory\ntried to allocate 2 GiB"), "RuntimeError: tried to allocate 2 GiB"),
    ],
)
def test_a_cell_that_fails_is_shown_and_sinks_no_other(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    spec = study_spec(storage, ["none", "flips"])
    with monkeypatch.context() as patch:
        patch.setattr(cells, "run_cell", failing(run_cell, error))
        run_study(storage, spec, InThisProcess())
    [comparison] = figures(storage)
    assert [(cell.arm, cell.seed, cell.reason) for cell in comparison.failed] == [("flips", 1, reason)]
    assert len(comparison.cells) == 3 and comparison.verdicts["flips"].seeds == 1
    assert reason in page(storage) and "1 of 4 detectors failed" in page(storage)
    assert reason in storage.read(job_key("study-1", "out/cells.csv")).decode()
    again = InThisProcess()
    run_study(storage, spec, again, "study-2")
    assert [(order.arm, order.learner["seed"]) for order in again.done] == [("flips", 1)]
    assert figures(storage, "study-2")[0].failed == ()


def test_a_study_of_which_nothing_could_be_trained_fails_with_the_first_reason(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Cell:
        raise DataError("the 3 real training images have no anomaly of crack")

    monkeypatch.setattr(cells, "run_cell", fail)
    with pytest.raises(
        AganError, match=r"^no detector could be trained; the first: the 3 real training images have no"
    ):
        run_study(storage, study_spec(storage, ["none"]), InThisProcess())


def test_each_detector_has_a_comparison_of_its_own_and_all_stand_on_one_page(storage: LocalStorage) -> None:
    boxes = {"name": "faster_rcnn", "steps": 1, "batch_size": 1, "rpn_proposals": 16, "rpn_samples": 16}
    spec = study_spec(storage, ["none", "flips"], learners=[TINY_LEARNER, boxes], classes=["hole"], seeds=1)
    run_study(storage, spec, InThisProcess())
    segmenter, rcnn = figures(storage)
    assert (segmenter.config.name, rcnn.config.name) == ("segmenter", "faster_rcnn")
    assert segmenter.verdicts.keys() == {"flips"} and rcnn.verdicts == {}
    text = page(storage)
    assert "judged by 2 detectors: for 1 of 2 it is undecided, 1 of 2 do not judge." in text
    assert "<b>Faster R-CNN</b>" in text and "<b>Segmenter</b>" in text and "Class by class" not in text


def test_an_adaptive_arm_has_cells_of_its_own_with_the_shares_of_the_one_that_does_not_adapt(
    storage: LocalStorage,
) -> None:
    job = put_job_of(storage, "hole")
    arms = [f"real+generated:{job}", f"adaptive:{job}"]
    learner = {**TINY_LEARNER, "steps": 8}
    run_study(storage, study_spec(storage, arms, learners=[learner], classes=["hole"], seeds=1), InThisProcess())
    _, even, adaptive = figures(storage)[0].cells
    assert (even.shown, even.pictures) == (adaptive.shown, adaptive.pictures)
    assert len(kept(storage)) == 3
    assert even.losses[:2] == adaptive.losses[:2], "until the first look both are the same training"
    assert "real + generated, more of what is missed" in page(storage)


def test_several_lengths_of_training_show_whether_more_would_help(storage: LocalStorage) -> None:
    learners = [{**TINY_LEARNER, "steps": steps} for steps in (4, 1, 2)]
    worker = InThisProcess()
    run_study(storage, study_spec(storage, ["none", "flips"], learners=learners, classes=["hole"]), worker)
    assert len(worker.done) == len(kept(storage)) == 12
    four, one, two = figures(storage)
    assert [found.more_steps and found.more_steps.fewer for found in (one, two, four)] == [None, 1, 2]
    assert four.more_steps is not None and four.more_steps.verdicts.keys() == {"none", "flips"}
    text = page(storage)
    assert "Is the training long enough?" in text and "Real alone, from 2 to 4 steps: " in text
    assert "judged by" not in text, "the headline is of the longest training alone"
    assert "segmenter, 2 steps.batch_size" in text
    run_study(storage, study_spec(storage, ["none"], classes=["hole"], seeds=1), InThisProcess(), "study-2")
    assert "Is the training long enough?" not in page(storage, "study-2")


def test_a_damaged_cell_is_named(storage: LocalStorage) -> None:
    spec = study_spec(storage, ["none"])
    run_study(storage, spec, InThisProcess())
    key = min(kept(storage))
    storage.write(key, b"garbage")
    with pytest.raises(DataError, match=rf"{key}: not a cell of a comparison .* remove it"):
        run_study(storage, spec, InThisProcess())


class FakeCluster:
    """Ray's `remote`, `wait` and `get`, of tasks that are done when they are waited for.

    Attributes:
        most: most tasks at one time.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.most = 0
        self._begun: dict[int, Callable[[], Any]] = {}

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.options = options
        return lambda function: type("Task", (), {"remote": lambda _, *args: self._begin(lambda: function(*args))})()

    def _begin(self, call: Callable[[], Any]) -> int:
        number = len(self._begun)
        self._begun[number] = call
        return number

    def wait(self, busy: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        self.most = max(self.most, len(busy))
        return [busy[-1]], busy[:-1]

    def get(self, number: int) -> Any:
        return self._begun[number]()


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_as_many_cells_are_trained_at_a_time_as_there_are_workers(storage: LocalStorage, workers: int) -> None:
    resources = Resources(workers=workers, cpus_per_worker=1, gpus_per_worker=1, max_failures=5)
    spec = study_spec(storage, ["none", "flips"]).model_copy(update={"resources": resources})
    cluster = FakeCluster()
    place = Workplace(Settings(store=storage.uri), grid_of_study(storage, spec), resources)
    orders = [cells.Order(f"cells/{number}.npz", "none", {"name": "x", "seed": 0}, {}) for number in range(4)]
    found = list(on_cluster(place, orders, cluster=cluster))
    assert sorted(order.key for order, _ in found) == [order.key for order in orders]
    assert cluster.most == min(workers, 4)
    assert cluster.options == {"num_cpus": 1, "num_gpus": 1, "max_retries": 5, "max_calls": 0}


def test_a_job_says_how_many_cells_were_there_before(storage: LocalStorage, capsys: pytest.CaptureFixture[str]) -> None:
    spec: StudySpec = study_spec(storage, ["none"])
    context = JobContext("study-1", spec, Settings(store=storage.uri), storage)
    for _ in range(2):
        compare(
            context, grid_of_study(storage, spec), parse_arms(spec.arms), spec.learners, spec.seeds, InThisProcess()
        )
    assert "2 of 2 detectors were trained before" in capsys.readouterr().out
