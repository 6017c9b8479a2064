"""What every kind of job says of itself."""

import json

import pytest

from infra.errors import UsageError
from jobs.kinds import KINDS, parse_spec
from jobs.spec.specs import EvaluateSpec, GenerateSpec, StudySpec, TrainSpec, TuneSpec
from tests.support.specs import asked

KEYS = {
    "train": "kind dataset class_name mask_pool real resume view train resources",
    "generate": "kind model count images_per_shard mask_pool masks added generation resources",
    "evaluate": "kind dataset generated real measured_images windows_per_image window_px test_normals arms seeds"
    " features detector resources",
    "study": "kind dataset classes real arms learners seeds windows_per_image test_normals view resources",
    "tune": "kind dataset class_name mask_pool real trials concurrent_trials seed space view train resources",
}
"""In stored specs; a generate job that goes on is compared with its plan by the bytes of its spec."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_keys_of_a_spec_keep_their_order_in_the_store(kind: str) -> None:
    spec = asked(KINDS[kind].spec).spec
    stored = spec.model_dump_json()
    assert list(json.loads(stored)) == KEYS[kind].split()
    assert parse_spec(json.loads(stored)) == spec


def test_all_but_a_search_can_go_on_where_they_ended() -> None:
    assert {name for name, kind in KINDS.items() if kind.spec.can_resume} == {"train", "generate", "evaluate", "study"}


def test_what_is_made_of_parts_can_go_on_with_fewer_workers() -> None:
    workers = {
        spec.kind_name(): asked(spec, resources__workers=3).spec.least().resources.workers
        for spec in (TrainSpec, TuneSpec, GenerateSpec, EvaluateSpec, StudySpec)
    }
    assert workers == {"train": 3, "tune": 3, "generate": 1, "evaluate": 1, "study": 1}


def test_a_search_needs_room_for_all_trials_at_a_time() -> None:
    spec = asked(TuneSpec, concurrent_trials=2, resources__workers=2, resources__gpus_per_worker=1).spec
    cpus, gpus = spec.needed()
    assert cpus == pytest.approx(4.2) and gpus == 4


def test_an_evaluation_of_before_is_read_with_the_name_that_its_base_has_now() -> None:
    stored = {"kind": "evaluate", "dataset": "tiles", "generated": "g", "arms": ["real", "generated"]}
    assert EvaluateSpec.model_validate(stored).arms == ("none", "generated")


def test_the_arms_of_an_evaluation_are_those_of_its_job() -> None:
    arms = ("none", "flips", "copy_paste#9", "generated@0.25#40", "generated_alone", "adaptive#9")
    assert EvaluateSpec(dataset="tiles", generated="g", arms=arms).arm_texts() == [
        "none", "flips", "copy_paste#9", "real+generated:g@0.25#40", "generated:g", "adaptive:g#9",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"arms: unknown arm, got 'magic'; use one of none, flips, copy_paste, gen"):
        EvaluateSpec(dataset="tiles", generated="g", arms=("magic",)).arm_texts()
