"""Training and generation draw expert masks from the whole stored pool."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.masks.pool.index import MaskPoolIndex
from anomaly_gan.training.batches import BatchSource
from infra.errors import NotFoundError
from jobs.generate.layers import load_layers
from jobs.library.maskpools.score import score_pool
from jobs.library.maskpools.store import full_name
from jobs.library.models.store import load_model
from jobs.library.training_split import TrainingSplit, load_training_split
from jobs.spec.specs import GenerateSpec
from tests.jobs.library.maskpools.test_store import experts_of, left_half, rated
from tests.support.builders_jobs import put_dataset, put_model
from tests.support.builders_masks import put_files, put_pool
from tests.support.helpers import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    put_dataset(storage)
    return storage


def split_of(storage: MemoryStorage, index: MaskPoolIndex) -> TrainingSplit:
    return load_training_split(storage, index.dataset, "crack", full_name(index))


def made(storage: MemoryStorage, split: TrainingSplit, masks: MaskConfig, count: int = 16) -> list[Generated]:
    snapshot = load_model(storage, put_model(storage), torch.device("cpu"))
    return generate(split.plan(snapshot.view, masks, GenerationConfig()), range(count), snapshot.generator)


def placed_in(images: list[Generated]) -> set[str]:
    """Ids of the elements that the provenance of the images names."""
    return {placement["element"] for one in images for placement in one.sample.meta["placements"]}


def test_without_a_pool_the_masks_of_the_training_split_are_it(storage: MemoryStorage) -> None:
    split = load_training_split(storage, "tiles", "crack")
    assert {element.source for element in split.pool.elements} == {sample.key for sample in split.abnormals}
    assert split.pool.rationality is None


def test_a_stored_pool_brings_the_experts_masks_and_what_was_learnt(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    split = split_of(storage, index)
    assert [element.id for element in split.pool.elements] == [entry.id for entry in index.select("crack")]
    assert sum(element.is_expert for element in split.pool.elements) == 3
    assert split.pool.rationality is not None
    own = load_training_split(storage, "tiles", "crack")
    assert [sample.key for sample in split.normals] == [sample.key for sample in own.normals]
    with pytest.raises(NotFoundError, match="mask pool gone: not in memory://store"):
        load_training_split(storage, "tiles", "crack", "gone")


def test_training_gives_normal_pictures_masks_of_the_whole_pool(storage: MemoryStorage, tmp_path: Path) -> None:
    split = split_of(storage, put_pool(storage, tmp_path))
    rules = MaskConfig(pose="fixed", max_parts=1)
    source = BatchSource(split.normals, split.abnormals, split.pool, ViewConfig(size=64), rules, seed=0, batch_size=16)
    sizes = {int((mask > 0).sum()) for step in range(4) for mask in source.batch(step).expert_mask}
    assert sizes == {element.area_px for element in split.pool.elements}


def test_the_provenance_of_a_generated_image_names_the_elements_of_the_pool(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    index = put_pool(storage, tmp_path)
    images = made(storage, split_of(storage, index), MaskConfig())
    assert placed_in(images) == {entry.id for entry in index.select("crack")}
    meta = images[0].sample.meta
    assert meta["rationality"] is None
    assert set(meta["severity"]) == {"contrast_levels", "gain", "area", "contrast"}


def test_prior_only_is_the_ablation_without_the_experts(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    images = made(storage, split_of(storage, index), MaskConfig(pool="prior_only"))
    assert placed_in(images) == {entry.id for entry in index.select("crack", "prior")}


def test_an_element_that_experts_did_not_admit_is_in_no_image(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    scored = score_pool(storage, index.name, rated(index, "0.9 0.1 0.1 0.9 0.1"), None)
    assert not placed_in(made(storage, split_of(storage, scored), MaskConfig())) & set(experts_of(index)[1:])


def test_each_image_says_how_rational_its_placement_is(storage: MemoryStorage, tmp_path: Path) -> None:
    split = split_of(storage, put_pool(storage, tmp_path))
    found = [one.sample.meta["rationality"] for one in made(storage, split, MaskConfig(rationality=0.8), count=8)]
    assert all(0 <= value <= 1 for value in found)


def test_images_keep_to_the_region_of_the_pool(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"left.png": left_half()})
    split = split_of(storage, put_pool(storage, tmp_path, allowed=str(tmp_path / "left.png")))
    for one in made(storage, split, MaskConfig(scale_min=0.5, scale_max=1, max_parts=1)):
        assert np.flatnonzero(one.mask.any(axis=0)).max() < 32


def test_the_wanted_third_of_the_real_areas_is_met_and_recorded(storage: MemoryStorage, tmp_path: Path) -> None:
    split = split_of(storage, put_pool(storage, tmp_path))
    severity = split.pool.severity
    assert severity is not None
    for one in made(storage, split, MaskConfig(area="low", max_parts=1, pose="fixed"), count=4):
        low, high = severity.limits("area_px", "low")
        assert low <= one.sample.meta["mask_area_px"] <= high


def sources_of(split: TrainingSplit) -> set[str]:
    """Pictures of which the pool has a part."""
    return {element.source for element in split.pool.elements if not element.is_expert}


def test_a_split_of_few_pictures_knows_no_others(storage: MemoryStorage) -> None:
    """Neither does its mask pool, nor the gate, which learns from the same pictures; all normal ones stay."""
    whole, two, one = (load_training_split(storage, "tiles", "crack", real=real) for real in (None, 2, 1))
    keys = [{sample.key for sample in split.abnormals} for split in (one, two, whole)]
    assert [len(of_split) for of_split in keys] == [1, 2, 3]
    assert keys[0] < keys[1] < keys[2]
    assert sources_of(two) == keys[1]
    assert [sample.key for sample in two.normals] == [sample.key for sample in whole.normals]


def test_of_a_stored_pool_a_split_of_few_pictures_keeps_what_experts_drew_and_forgets_the_rest(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    index = put_pool(storage, tmp_path)
    whole, few = (load_training_split(storage, index.dataset, "crack", full_name(index), real) for real in (None, 2))
    assert sources_of(few) == {sample.key for sample in few.abnormals} < sources_of(whole)
    assert sum(element.is_expert for element in few.pool.elements) == 3
    own = load_training_split(storage, index.dataset, "crack", real=2).pool
    assert (few.pool.part_counts, few.pool.severity) == (own.part_counts, own.severity)
    assert few.pool.rationality is not None and whole.pool.rationality is not None
    assert (few.pool.rationality.masks, whole.pool.rationality.masks) == (2, 3)


def test_a_model_of_few_pictures_makes_its_images_from_these_alone(storage: MemoryStorage) -> None:
    """The pool that its masks are taken from, and the pictures that its gate takes for real."""
    model = put_model(storage, real=1)
    [layer] = load_layers(storage, GenerateSpec(model=model), torch.device("cpu"))
    [known] = load_training_split(storage, "tiles", "crack", real=1).abnormals
    assert {element.source for element in layer.plan.pool.elements} == {known.key}
