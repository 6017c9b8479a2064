"""The key of a cell: another one for all that decides it, the same for all that does not."""

from pathlib import Path
from typing import Any

import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.arms import parse_arm
from jobs.spec.specs import EvaluateSpec
from jobs.study.grid import Grid, cell_key, grid_of_evaluation, grid_of_study
from tests.support.builders_jobs import put_dataset, put_shards
from tests.support.builders_studies import generated_sample, put_job_of, study_spec
from tests.support.helpers import MemoryStorage
from tests.support.specs import completed

GRID = Grid(
    dataset="tiles@1",
    classes=("crack",),
    real=None,
    view=ViewConfig(size=64),
    windows_per_image=4,
    test_normals=100,
    seed=0,
    jobs={"a": "1" * 64, "b": "2" * 64},
    pasted=(),
)
LEARNER = DetectorConfig(name="segmenter").filled_in()


def key(arm: str = "real+generated:a", device: str = "cpu", learner: dict[str, Any] | None = None, **grid: Any) -> str:
    config = LEARNER.model_copy(update=learner or {})
    return cell_key(GRID.model_copy(update=grid).decided_by(parse_arm(arm), config, device))


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "tiles@2"},
        {"classes": ("crack", "hole")},
        {"real": 8},
        {"view": ViewConfig(kind="window", size=64)},
        {"windows_per_image": 5},
        {"test_normals": 101},
        {"seed": 1},
        {"device": "cuda"},
        {"jobs": {"a": "3" * 64, "b": "2" * 64}},
        {"arm": "real+generated:b"},
        {"arm": "generated:a"},
        {"arm": "real+generated:a@0.25"},
        {"arm": "real+generated:a#5"},
        {"arm": "adaptive:a"},
        {"arm": "flips"},
        {"learner": {"seed": 1}},
        {"learner": {"turns": False}},
        {"learner": {"name": "mask_rcnn"}},
    ],
)
def test_all_that_decides_a_cell_changes_its_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_names_of_jobs_and_jobs_of_other_arms_change_no_key() -> None:
    assert key("real+generated:a@0.5", jobs={"a": "1" * 64}) == key()
    assert key("real+generated:c", jobs={"c": "1" * 64}) == key()
    assert key("flips", jobs={}) == key("flips")


def test_arms_that_do_not_adapt_have_the_key_that_they_had_before_there_were_others() -> None:
    told = GRID.decided_by(parse_arm("real+generated:a"), LEARNER, "cpu")["arm"]
    assert list(told) == ["stream", "has_real", "share", "count", "jobs"]


def test_the_file_of_a_backbone_changes_the_key_of_what_begins_with_it(tmp_path: Path) -> None:
    def with_file(name: str) -> str:
        config = DetectorConfig(name=name, weights="file")
        return cell_key(GRID.decided_by(parse_arm("none"), config, "cpu", tmp_path))

    names = ("mask_rcnn", "segmenter")
    before = [with_file(name) for name in names]
    (tmp_path / "mobilenet_v3_large.pth").write_bytes(b"weights")
    after = [with_file(name) for name in names]
    assert before[0] != after[0] and before[1] == after[1]


def test_a_job_that_published_other_images_has_other_cells() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    job = put_job_of(storage, "crack")
    spec = study_spec(storage, [f"real+generated:{job}"])
    before = grid_of_study(storage, spec)
    put_shards(storage, [[generated_sample(9, "crack")]], job)
    assert grid_of_study(storage, spec).jobs != before.jobs


def test_an_evaluation_and_a_study_of_the_same_arms_share_their_cells() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    job = put_job_of(storage, "crack")
    asked = completed(storage, EvaluateSpec, generated=job).spec
    same = study_spec(storage, asked.arm_texts(), classes=["crack"], learners=["segmenter"])
    ours, theirs = grid_of_evaluation(storage, asked), grid_of_study(storage, same)
    assert same.learners == (asked.detector,)
    for arm in map(parse_arm, asked.arm_texts()):
        assert ours.decided_by(arm, asked.detector, "cpu") == theirs.decided_by(arm, same.learners[0], "cpu")
