"""What an evaluation's detectors learn from and are tested on."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from anomaly_gan.evaluation.arms import parse_arm, parse_arms
from anomaly_gan.evaluation.material import Material
from anomaly_gan.samples.sample import Sample
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.generate.job import publish
from jobs.generate.shard_maker import ShardMaker
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.models.files import load_description
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext
from jobs.spec.specs import EvaluateSpec, GenerateSpec
from jobs.study.grid import grid_of_evaluation, grid_of_study
from jobs.study.material import StoredMaterial
from jobs.tasks.commits import open_plan
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model, put_spec
from tests.support.builders_studies import put_job_of, study_spec

COUNT = 3
ALL = "generated:generate-1"
GENERATED = GenerateSpec.model_validate(
    {"model": TRAIN_JOB, "count": COUNT, "generation": {"quality": {"gate": False}}}
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    """A data set, a model, and a generate job of three images."""
    made = LocalStorage(Path(tmp_path_factory.mktemp("store")))
    put_dataset(made)
    put_model(made)
    generate(made)
    return made


def generate(storage: LocalStorage) -> None:
    """Do the generate job in this process."""
    put_spec(storage, "generate-1", GENERATED)
    context = JobContext("generate-1", GENERATED, Settings(store=storage.uri), storage)
    maker = ShardMaker(context)
    open_plan(storage, "generate-1", maker.tasks)
    publish(context, [maker.make(task)[0] for task in range(maker.tasks.tasks)])


def material(storage: LocalStorage, **changes: object) -> Material:
    """All that the arms of an evaluation show."""
    dataset = load_description(storage, TRAIN_JOB).record["dataset"]
    spec = EvaluateSpec.model_validate({"dataset": dataset, "generated": "generate-1", **changes})
    stored = StoredMaterial(storage, grid_of_evaluation(storage, spec))
    every = [stored.of(arm) for arm in parse_arms(spec.arm_texts())]
    return replace(every[0], added={source: one.added[source] for one in every for source in one.added})


def split_of(storage: LocalStorage, split: Literal["train", "test"]) -> dict[str, Sample]:
    samples = load_samples(storage, load_index(storage, "tiles"), split=split, classes=["crack"], normal=True)
    return {sample.key: sample for sample in samples}


def test_no_picture_that_a_detector_learns_from_is_one_that_it_is_tested_on(storage: LocalStorage) -> None:
    found, train, test = material(storage), split_of(storage, "train"), split_of(storage, "test")
    assert {sample.key for sample in (*found.normals, *found.real)} <= train.keys()
    assert {sample.key for sample in found.test} == test.keys()
    assert not train.keys() & test.keys()


def test_detectors_are_tested_on_whole_pictures_with_all_their_normal_ones(storage: LocalStorage) -> None:
    found, test = material(storage), split_of(storage, "test")
    assert all(np.array_equal(sample.image, test[sample.key].image) for sample in found.test)
    assert sum(sample.is_normal for sample in found.test) == sum(sample.is_normal for sample in test.values()) > 0
    assert found.groups == [str(sample.meta["group"]) for sample in found.test]


def test_more_normal_test_pictures_than_asked_for_are_left_out_the_same_way_every_time(storage: LocalStorage) -> None:
    few, again = (material(storage, test_normals=1).test for _ in range(2))
    assert sum(sample.is_normal for sample in few) == 1
    assert [sample.key for sample in few] == [sample.key for sample in again]
    assert any("crack" in sample.masks for sample in few)


def test_learning_pictures_are_normal_real_generated_and_copy_pasted(storage: LocalStorage) -> None:
    found = material(storage)
    assert all(sample.is_normal for sample in found.normals)
    assert all(sample.masks["crack"].any() for sample in found.real)
    assert {name: len(samples) for name, samples in found.added.items()} == {ALL: COUNT, "copy_paste": COUNT}
    assert all(sample.masks["crack"].any() for samples in found.added.values() for sample in samples)


def test_copy_paste_is_made_only_for_an_arm_that_shows_it(storage: LocalStorage) -> None:
    assert material(storage, arms=["generated"]).added.keys() == {ALL}


def test_of_a_view_that_is_larger_than_the_window_detectors_learn_from_windows_around_anomalies(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    large = LocalStorage(Path(tmp_path_factory.mktemp("large")))
    put_dataset(large, resolution=128)
    put_model(large, size=128)
    generate(large)
    found = material(large, window_px=64, windows_per_image=2)
    shown = [*found.normals, *found.real, *found.added[ALL], *found.added["copy_paste"]]
    assert {sample.image.shape for sample in shown} == {(64, 64)}
    assert all(sample.masks["crack"].any() for sample in shown if not sample.is_normal)
    assert {sample.image.shape for sample in found.test} == {(128, 128)}
    assert len(found.real) == 2 * sum("crack" in one.masks for one in split_of(large, "train").values())


def test_of_few_pictures_all_arms_learn_from_the_same_ones(storage: LocalStorage) -> None:
    """Those that a generator of as many learns from; what is tested stays."""
    few, whole = material(storage, real=1), material(storage)
    [known] = load_training_split(storage, "tiles", "crack", real=1).abnormals
    assert {sample.key for sample in few.real} == {known.key} < {sample.key for sample in whole.real}
    assert len(few.added["copy_paste"]) == COUNT
    assert [sample.key for sample in few.test] == [sample.key for sample in whole.test]


def test_of_several_classes_each_anomaly_is_shown_under_its_name(storage: LocalStorage) -> None:
    """A job of each class as one set, real and pasted pictures of both, and more copies where an arm names a number."""
    hole = put_job_of(storage, "hole", images=2)
    joined = f"real+generated:generate-1,{hole}"
    spec = study_spec(storage, [joined, "copy_paste", "copy_paste#5"])
    stored = StoredMaterial(storage, grid_of_study(storage, spec))
    generated, pasted, more = (stored.of(parse_arm(name)) for name in (joined, "copy_paste", "copy_paste#5"))
    for samples, counts in (
        (generated.added[f"generated:generate-1,{hole}"], (COUNT, 2)),
        (pasted.added["copy_paste"], (COUNT, 2)),
        (more.added["copy_paste"], (5, 5)),
        (generated.real, (3, 3)),
    ):
        assert tuple(sum(name in one.masks for one in samples) for name in ("crack", "hole")) == counts
    assert generated.classes == ("crack", "hole") and {"crack", "hole"} == {
        name for one in generated.test for name in one.masks
    }


def test_a_study_of_one_class_shows_nothing_of_the_other(storage: LocalStorage) -> None:
    hole = put_job_of(storage, "hole", images=2)
    spec = study_spec(storage, [f"real+generated:generate-1,{hole}"], classes=["hole"])
    found = StoredMaterial(storage, grid_of_study(storage, spec)).of(parse_arm(spec.arms[0]))
    shown = [*found.real, *found.test, *(one for samples in found.added.values() for one in samples)]
    assert {name for one in shown for name in one.masks} == {"hole"}
    assert [len(samples) for samples in found.added.values()] == [2]
