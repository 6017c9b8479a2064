"""What a study takes from the store, and which arms fit together."""

from typing import Any

import pytest

from anomaly_gan.detectors.detectors import DETECTORS
from infra.errors import NotFoundError, UsageError
from jobs.spec.specs import StudySpec
from tests.support.builders_jobs import put_dataset, put_model, put_results, put_spec
from tests.support.builders_studies import TINY_LEARNER, put_job_of, study_spec
from tests.support.helpers import MemoryStorage
from tests.support.specs import completed


@pytest.fixture
def storage() -> MemoryStorage:
    made = MemoryStorage()
    put_dataset(made)
    return made


def test_without_a_word_a_study_is_of_all_classes_by_the_segmenter(storage: MemoryStorage) -> None:
    resolved = completed(storage, StudySpec)
    spec = resolved.spec
    assert spec.classes == ("crack", "hole") and spec.dataset.startswith("tiles@")
    [learner], defaults = spec.learners, DETECTORS["segmenter"].defaults
    assert (learner.name, learner.steps, learner.batch_size) == ("segmenter", defaults["steps"], defaults["batch_size"])
    assert (spec.view.kind, spec.view.size, resolved.sources["view.size"]) == ("whole", 64, "data set")


def test_each_detector_keeps_what_it_was_given_and_has_its_own_of_the_rest(storage: MemoryStorage) -> None:
    spec = completed(storage, StudySpec, learners=[{"name": "segmenter", "steps": 7}, "mask_rcnn"]).spec
    assert [(one.name, one.steps, one.batch_size) for one in spec.learners] == [
        ("segmenter", 7, DETECTORS["segmenter"].defaults["batch_size"]), ("mask_rcnn", 2000, 4),
    ]  # fmt: skip
    again = StudySpec.model_validate_json(spec.model_dump_json())
    assert again == spec


def test_detectors_learn_longer_where_there_are_many_views_unless_their_steps_were_asked_for(
    storage: MemoryStorage,
) -> None:
    sets = {"view__kind": "window", "view__size": 64, "windows_per_image": 100}
    both = {"learners": [{"name": "segmenter", "steps": 7}, "mask_rcnn"]}
    [learner] = completed(storage, StudySpec, **sets).spec.learners
    assert learner.steps == 12 * 600 / 4  # 3 pictures of each of 2 classes; half of 8 images a step are anomalous
    [few] = completed(storage, StudySpec, **sets, real=1).spec.learners
    assert few.steps == 12 * 200 / 4
    assert [one.steps for one in completed(storage, StudySpec, **sets, **both).spec.learners] == [7, 12 * 600 / 2]


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        ({"learners": ["yolo"]}, r"^detector\.name: unknown detector, got 'yolo'; use one of mask_rcnn"),
        ({"learners": ["segmenter", "segmenter"]}, "learners: segmenter is named twice"),
        ({"classes": ["dent"]}, "^classes: data set tiles has no class 'dent'; it has crack, hole$"),
        ({"arms": ["magic"]}, "^arms: unknown arm, got 'magic'; use one of none, flips"),
        ({"real": 4}, "^real: 4, but data set tiles has 3 training pictures of crack$"),
        ({"view__size": 128}, "^view: whole pictures of 128 px, but data set tiles has others; use --window$"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(storage: MemoryStorage, sets: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        completed(storage, StudySpec, **sets)


def test_a_job_that_is_not_there_or_makes_other_classes_is_refused(storage: MemoryStorage) -> None:
    with pytest.raises(NotFoundError, match="job generate-9: not in"):
        study_spec(storage, ["generated:generate-9"])
    crack, hole = (put_job_of(storage, name) for name in ("crack", "hole"))
    with pytest.raises(
        UsageError, match=rf"^arms: generated:{crack}: has no pictures of hole; join a job of each class"
    ):
        study_spec(storage, [f"generated:{crack}"])
    with pytest.raises(UsageError, match="has no pictures of hole; join"):
        study_spec(storage, [f"real+generated:{crack}"], classes=["hole"])
    assert study_spec(storage, [f"generated:{crack}"], classes=["crack"]).classes == ("crack",)
    assert study_spec(storage, [f"real+generated:{crack}"]).classes == ("crack", "hole")
    assert study_spec(storage, [f"generated:{hole},{crack}"]).classes == ("crack", "hole")


def test_arms_know_the_pictures_that_their_models_have_learnt_from(storage: MemoryStorage) -> None:
    few, all_of_them = put_job_of(storage, "crack", real=2), put_job_of(storage, "hole")
    assert study_spec(storage, [f"real+generated:{few}"]).real == 2
    assert study_spec(storage, [f"real+generated:{all_of_them}"]).real is None
    with pytest.raises(UsageError, match=r"learnt from different numbers of pictures \(2, all\); use one"):
        study_spec(storage, [f"generated:{few},{all_of_them}"])
    with pytest.raises(
        UsageError, match=r"^real: 2, but model train-hole has learnt from all anomalous pictures; train"
    ):
        study_spec(storage, [f"real+generated:{all_of_them}"], real=2)
    assert study_spec(storage, ["flips"], real=1).real == 1


def test_a_model_that_may_have_seen_the_test_pictures_is_refused(storage: MemoryStorage) -> None:
    job = put_job_of(storage, "crack")
    put_model(storage, "train-crack", dataset="tiles@000000000000")
    with pytest.raises(UsageError, match=r"was trained on tiles@000000000000.*use tiles@000000000000"):
        study_spec(storage, [f"real+generated:{job}"])


def test_detectors_see_what_the_models_see_or_the_smallest_of_it(storage: MemoryStorage) -> None:
    large, small = put_job_of(storage, "crack", window=True, size=256), put_job_of(storage, "hole", window=True)
    view = study_spec(storage, [f"real+generated:{large}"]).view
    assert (view.kind, view.size) == ("window", 128)
    view = study_spec(storage, [f"generated:{large},{small}"]).view
    assert (view.kind, view.size) == ("window", 64)
    with pytest.raises(
        UsageError, match=r"^view.size: 128 px, but a model of the arms makes images of 64 px; use that$"
    ):
        study_spec(storage, [f"generated:{large},{small}"], view__kind="window", view__size=128)


def test_an_arm_of_a_job_of_another_kind_is_refused(storage: MemoryStorage) -> None:
    put_spec(storage, "study-1", study_spec(storage, ["flips"], learners=[TINY_LEARNER]))
    put_results(storage, "study-1", report=b"")
    with pytest.raises(UsageError, match=r"^arms: job study-1 is a study job; name a generate job$"):
        study_spec(storage, ["real+generated:study-1"])
