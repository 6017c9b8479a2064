"""What a generate job takes from its models, their pools and the memory, and which models it refuses."""

from pathlib import Path

import pytest

from anomaly_gan.config import MaskConfig
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.generation.memory import MOST_AT_A_TIME
from infra.errors import NotFoundError, UsageError
from jobs.kinds import complete
from jobs.library.maskpools.store import full_name, load_pool_index
from jobs.spec.resolve import resolve
from jobs.spec.resolved import flatten
from jobs.spec.specs import GenerateSpec
from tests.support.builders_jobs import RESOLUTION, TRAIN_JOB, put_dataset, put_model
from tests.support.builders_masks import POOL, built, put_model_of_pool, put_ruled_pool
from tests.support.helpers import MemoryStorage
from tests.support.specs import asked, completed


@pytest.fixture
def pooled(tmp_path: Path) -> MemoryStorage:
    """A store with a data set and a pool of it that has rules of its own for `crack`."""
    storage = MemoryStorage()
    put_ruled_pool(storage, tmp_path)
    return storage


def test_generation_needs_a_model_and_its_data_set() -> None:
    storage = MemoryStorage()
    with pytest.raises(NotFoundError, match=f"model {TRAIN_JOB}: not in memory://store; there are: none"):
        completed(storage, GenerateSpec)
    put_model(storage)
    with pytest.raises(NotFoundError, match="data set tiles: not in memory://store"):
        completed(storage, GenerateSpec)
    put_dataset(storage)
    spec = completed(storage, GenerateSpec, generation__batch_size=8).spec
    assert spec == asked(GenerateSpec, generation__batch_size=8).spec


def test_a_forward_pass_takes_as_many_images_as_the_memory_has_room_for() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage)
    resolved = [completed(storage, GenerateSpec, generation__memory_gib=gib) for gib in (1e-9, 0.004, 2)]
    few, some, most = (one.spec.generation.batch_size for one in resolved)
    assert 1 == few < some < most == MOST_AT_A_TIME
    assert resolved[0].sources["generation.batch_size"] == "memory"


def test_generation_takes_the_pool_and_the_rules_of_its_model(pooled: MemoryStorage) -> None:
    index = load_pool_index(pooled, POOL)
    put_model_of_pool(pooled, index, MaskConfig(max_parts=5, rationality=0.25))
    built(pooled)  # a newer version, which the model did not see
    resolved = completed(pooled, GenerateSpec, masks__area="low")
    spec = resolved.spec
    assert spec.mask_pool == full_name(index)
    assert (spec.masks.max_parts, spec.masks.rationality, spec.masks.area) == (5, 0.25, "low")
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["mask_pool"] == sources["masks.max_parts"] == "model" and sources["masks.area"] == "flag"


def test_generation_with_a_pool_of_its_own_takes_that_pools_rules(pooled: MemoryStorage) -> None:
    put_model_of_pool(pooled, built(pooled, name="other").index, MaskConfig(max_parts=5))
    resolved = completed(pooled, GenerateSpec, mask_pool=POOL, masks__rationality=0)
    spec = resolved.spec
    assert spec.mask_pool == full_name(load_pool_index(pooled, POOL))
    assert (spec.masks.pose, spec.masks.max_parts, spec.masks.rationality) == ("fixed", 3, 0)
    sources = {key: source for key, _, source in resolved.rows()}
    assert sources["masks.pose"] == "mask pool" and sources["masks.rationality"] == "flag"


def test_generation_by_a_model_whose_pool_is_gone_is_refused(pooled: MemoryStorage) -> None:
    index = load_pool_index(pooled, POOL)
    put_model_of_pool(pooled, index, MaskConfig())
    pooled.delete(f"maskpools/drawn/{index.version}/index.json")
    with pytest.raises(NotFoundError, match=f"mask pool {full_name(index)}: not in memory://store"):
        completed(pooled, GenerateSpec)


# --- several models


CRACKS, HOLES = "train-20260101-120000-0001", "train-20260101-120000-0002"


@pytest.fixture
def mixable() -> MemoryStorage:
    """A store with a model of cracks and one of holes."""
    storage = MemoryStorage()
    put_dataset(storage)
    put_model(storage, CRACKS)
    put_model(storage, HOLES, class_name="hole")
    return storage


def test_each_model_has_its_own_rules_and_the_users_hold_for_all(mixable: MemoryStorage) -> None:
    spec = completed(mixable, GenerateSpec, model=CRACKS, added=[{"model": HOLES}], masks__max_parts=1).spec
    (added,) = spec.added
    assert (added.model, added.masks.max_parts, added.mask_pool) == (HOLES, 1, None)
    again = resolve(GenerateSpec, flatten(spec.model_dump(mode="json", exclude={"kind"})), environ={})
    assert complete(again, mixable).spec == spec


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (CRACKS, "added: two models make class crack"),
        ("windows", f"model windows sees windows of {RESOLUTION} px, the first model sees whole pictures"),
        ("elsewhere", "model elsewhere was trained on other@"),
    ],
)
def test_models_that_do_not_agree_are_not_mixed(mixable: MemoryStorage, added: str, told: str) -> None:
    put_model(mixable, "windows", class_name="hole", window=True)
    put_dataset(mixable, "other")
    put_model(mixable, "elsewhere", "other", class_name="hole")
    with pytest.raises(UsageError, match=told):
        completed(mixable, GenerateSpec, model=CRACKS, added=[{"model": added}])


@pytest.mark.parametrize("weights", [None, b"garbage"])
def test_completion_reads_what_the_models_say_of_themselves_and_never_their_weights(
    mixable: MemoryStorage, weights: bytes | None
) -> None:
    for model in (CRACKS, HOLES):
        mixable.delete(f"models/{model}/{WEIGHTS}")
        if weights is not None:
            mixable.write(f"models/{model}/{WEIGHTS}", weights)
    mixable.was_read.clear()
    assert completed(mixable, GenerateSpec, model=CRACKS, added=[{"model": HOLES}]).spec.added
    of_models = [key for key in mixable.was_read if key.startswith("models/")]
    assert of_models == [f"models/{model}/{DESCRIPTION}" for model in (CRACKS, HOLES)]
