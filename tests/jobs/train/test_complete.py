"""Going on from another job."""

from pathlib import Path
from typing import Any

import pytest

from infra.errors import NotFoundError, UsageError
from infra.storage.protocol import Storage
from jobs.spec.specs import TrainSpec
from jobs.train.checkpoints import CheckpointStore
from tests.support.builders_jobs import GENERATE_JOB, TRAIN_JOB, put_dataset, put_generated, put_spec
from tests.support.builders_masks import POOL, built, put_ruled_pool
from tests.support.helpers import MemoryStorage
from tests.support.specs import completed


def stopped_job(storage: Storage, path: Path, **sets: Any) -> str:
    """A train job of the smallest spec with these changes, and a checkpoint of step 2; returns its id."""
    put_spec(storage, TRAIN_JOB, completed(storage, TrainSpec, **sets).spec)
    path.write_bytes(b"state")
    CheckpointStore(storage, f"jobs/{TRAIN_JOB}/checkpoints").save(2, path)
    return TRAIN_JOB


@pytest.mark.parametrize(
    "resources",
    [{}, {"resources__workers": 2, "resources__cpus_per_worker": 3, "resources__max_failures": 0}],
    ids=["the same", "other resources"],
)
def test_a_job_of_the_same_spec_may_go_on_from_a_checkpoint(resources: dict[str, Any], tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    assert completed(storage, TrainSpec, resume=earlier, **resources).spec.resume == earlier


def test_a_job_may_go_on_from_one_that_itself_went_on(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    first = stopped_job(storage, tmp_path / "checkpoint.pt")
    second = "train-20260102-120000-ab12"
    put_spec(storage, second, completed(storage, TrainSpec, resume=first).spec)
    CheckpointStore(storage, f"jobs/{second}/checkpoints").save(4, tmp_path / "checkpoint.pt")
    assert completed(storage, TrainSpec, resume=second).spec.resume == second


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        ({"train__seed": 1}, "train.seed"),
        ({"train__loss__lambda_1": 0.5}, "train.loss.lambda_1"),
        ({"train__total_images": 8}, "train.total_images"),
        ({"train__model__generator_widths": [8, 8]}, "train.model.generator_widths"),
        ({"train__image_pool": 1, "train__augment__probability": 0.5}, "train.image_pool"),
        ({"class_name": "hole"}, "class_name"),
        ({"real": 2}, "real"),
        ({"view__kind": "window", "view__size": 64}, "view.kind"),
    ],
)
def test_a_differing_value_is_refused_by_its_key(sets: dict[str, Any], key: str, tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError) as caught:
        completed(storage, TrainSpec, resume=earlier, **sets)
    assert str(caught.value).startswith(
        f"resume: {key} differs from job {earlier}'s; only resources, train.compute and"
    )


def test_how_a_step_is_computed_and_when_it_is_told_may_change(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    changes: dict[str, Any] = {"train__compute__accumulate": 2, "train__log_every_steps": 3}
    assert completed(storage, TrainSpec, resume=earlier, **changes).spec.resume == earlier


def test_another_version_of_the_data_set_is_no_place_to_go_on(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    put_dataset(storage, resolution=128)
    with pytest.raises(UsageError, match=f"^resume: dataset differs from job {earlier}'s"):
        completed(storage, TrainSpec, resume=earlier)


def test_a_job_of_another_kind_has_nothing_to_go_on_from() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_generated(storage)
    with pytest.raises(UsageError, match=f"^resume: job {GENERATE_JOB} is a generate job; name a train job"):
        completed(storage, TrainSpec, resume=GENERATE_JOB)


def test_a_job_without_a_checkpoint_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    earlier = stopped_job(storage, tmp_path / "checkpoint.pt")
    storage.delete(f"jobs/{earlier}/checkpoints/00000002.pt")
    with pytest.raises(UsageError, match=f"^resume: job {earlier} has no checkpoint; leave it out to start anew"):
        completed(storage, TrainSpec, resume=earlier)


def test_an_unknown_job_to_go_on_from_is_not_found() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(NotFoundError, match=TRAIN_JOB):
        completed(storage, TrainSpec, resume=TRAIN_JOB)


def test_a_run_goes_on_with_the_pool_it_began_with(tmp_path: Path) -> None:
    pooled = MemoryStorage()
    put_ruled_pool(pooled, tmp_path)
    earlier = stopped_job(pooled, tmp_path / "checkpoint.pt", mask_pool=POOL)
    assert completed(pooled, TrainSpec, resume=earlier, mask_pool=POOL).spec.resume == earlier
    built(pooled, name="other")
    for other in ({}, {"mask_pool": "other"}):
        with pytest.raises(UsageError, match=f"^resume: mask_pool differs from job {earlier}'s"):
            completed(pooled, TrainSpec, resume=earlier, **other)
