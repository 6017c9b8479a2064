"""What a mask pool fills into a spec, and which pools are refused."""

from pathlib import Path

import pytest

from infra.errors import NotFoundError, UsageError
from infra.storage.protocol import Storage
from jobs.library.maskpools.store import full_name, load_pool_index
from jobs.spec.specs import GenerateSpec, JobSpec, TrainingSpec, TrainSpec, TuneSpec
from tests.support.builders_jobs import put_dataset, put_model
from tests.support.builders_masks import POOL, built, put_ruled_pool
from tests.support.helpers import MemoryStorage
from tests.support.specs import completed


@pytest.fixture
def pooled(tmp_path: Path) -> MemoryStorage:
    """A store with a data set and a pool of it that has rules of its own for `crack`."""
    storage = MemoryStorage()
    put_ruled_pool(storage, tmp_path)
    return storage


def pool_name(storage: Storage, name: str = POOL) -> str:
    return full_name(load_pool_index(storage, name))


@pytest.mark.parametrize("kind", [TrainSpec, TuneSpec])
def test_a_pool_is_named_with_its_version_and_gives_the_rules_that_nobody_set(
    kind: type[TrainingSpec], pooled: MemoryStorage
) -> None:
    resolved = completed(pooled, kind, mask_pool=POOL, train__masks__max_parts=4)
    spec = resolved.spec
    assert spec.mask_pool == pool_name(pooled)
    masks = spec.train.masks
    assert (masks.pose, masks.max_parts, masks.rationality) == ("fixed", 4, 0.5)
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["mask_pool"] == sources["train.masks.pose"] == sources["train.masks.rationality"] == "mask pool"
    assert sources["train.masks.max_parts"] == "flag"


def test_a_named_version_of_a_pool_stays_that_version(pooled: MemoryStorage) -> None:
    older = pool_name(pooled)
    newer = full_name(built(pooled).index)
    assert completed(pooled, TrainSpec, mask_pool=POOL).spec.mask_pool == newer != older
    spec = completed(pooled, TrainSpec, mask_pool=older).spec
    assert spec.mask_pool == older and spec.train.masks.pose == "fixed"


def test_without_a_pool_no_rule_changes_and_rationality_is_refused(pooled: MemoryStorage) -> None:
    assert completed(pooled, TrainSpec).spec.mask_pool is None
    put_model(pooled)
    kinds: list[tuple[type[JobSpec], str]] = [
        (TrainSpec, "train.masks"),
        (TuneSpec, "train.masks"),
        (GenerateSpec, "masks"),
    ]
    for kind, section in kinds:
        with pytest.raises(UsageError) as caught:
            completed(pooled, kind, **{f"{section}.rationality": 0.5})
        assert str(caught.value) == (
            f"{section}.rationality: nothing is known of where class crack lies; build a mask pool with"
            " `agan masks build` and name it with --mask-pool, or set it to 0"
        )


def test_a_pool_that_does_not_fit_is_refused(pooled: MemoryStorage) -> None:
    with pytest.raises(NotFoundError, match="mask pool gone: not in memory://store; there are: drawn"):
        completed(pooled, TrainSpec, mask_pool="gone")
    put_dataset(pooled, "other")
    with pytest.raises(UsageError, match=r"mask pool drawn: was built from tiles@\w+, not from other@"):
        completed(pooled, TrainSpec, dataset="other", mask_pool=POOL)
    put_dataset(pooled, "large", resolution=128)
    with pytest.raises(UsageError, match="mask pool drawn: is of 64 px, data set large of 128 px; build it for that"):
        completed(pooled, TrainSpec, dataset="large", mask_pool=POOL)


def test_a_rule_that_contradicts_the_pools_is_refused(pooled: MemoryStorage) -> None:
    with pytest.raises(
        UsageError, match=r"^mask pool: train\.masks: min_parts must not be above max_parts, got 2 and 1"
    ):
        completed(pooled, TrainSpec, mask_pool=POOL, class_name="hole", train__masks__min_parts=2)
