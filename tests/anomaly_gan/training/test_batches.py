"""The order of training: what each rank sees at each step."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.exemplars.assembling import lay_texture
from anomaly_gan.exemplars.exemplar import cut_exemplars
from anomaly_gan.masks.pool.pool import Element, MaskPool, build_pool
from anomaly_gan.networks.crops import number_parts
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.batches import TEXTURE_STREAM, Batch, BatchSource
from infra.errors import DataError
from tests.support.builders import CLASS, CPU, abnormal_sample, batch_source, normal_sample, train_config


def tensors(batch: Batch) -> tuple[Tensor, ...]:
    return batch.normal_image, batch.expert_mask, batch.abnormal_image, batch.prior_mask


def pairs(source: BatchSource, step: int) -> list[bytes]:
    """The pairs of a batch, each as its pixels."""
    return [
        b"".join(part.numpy().tobytes() for part in pair) for pair in zip(*tensors(source.batch(step)), strict=True)
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_together_see_the_pairs_of_one_global_batch(world_size: int) -> None:
    alone = batch_source(batch_size=12)
    for step in (0, 3):
        shared = [
            pairs(batch_source(batch_size=12, rank=rank, world_size=world_size), step) for rank in range(world_size)
        ]
        assert all(len(part) == 12 // world_size for part in shared)
        assert [shared[i % world_size][i // world_size] for i in range(12)] == pairs(alone, step)


def test_a_batch_knows_the_positions_of_its_pairs() -> None:
    assert batch_source(batch_size=6).batch(0).positions == (0, 1, 2, 3, 4, 5)
    assert batch_source(batch_size=6, rank=1, world_size=2).batch(3).positions == (19, 21, 23)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 9), st.integers(0, 10_000), st.integers(1, 8))
def test_a_pair_depends_on_seed_and_position_only(seed: int, position: int, world_size: int) -> None:
    first = batch_source(seed=seed).pair(position)
    second = batch_source(seed=seed, batch_size=world_size, rank=world_size - 1, world_size=world_size).pair(position)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_positions_and_seeds_give_differing_pairs() -> None:
    drawn = pairs(batch_source(batch_size=20), 0) + pairs(batch_source(batch_size=20, seed=1), 0)
    assert len(set(drawn)) == 40


def test_every_image_is_shown_once_an_epoch_in_an_order_that_changes() -> None:
    plain = [normal_sample(i) for i in range(5)]
    for sample in plain:
        sample.image[:] = 10 * int(sample.key[-3:])  # flips and windows leave it recognisable
    source = batch_source(normals=plain)
    shown = [int(source.pair(position)[0][0, 0]) // 10 for position in range(40)]
    epochs = [tuple(shown[i : i + 5]) for i in range(0, 40, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len(set(epochs)) > 4


def test_abnormal_images_are_shown_once_an_epoch_apart_from_the_normal_ones() -> None:
    source = batch_source()
    shown = Counter(np.sort(source.pair(position)[2], axis=None).tobytes() for position in range(9))
    assert sorted(shown.values()) == [3, 3, 3]


@pytest.mark.parametrize("kind", ["whole", "window"])
def test_a_batch_is_uint8_of_the_views_size_with_masks_that_are_never_empty(kind: str) -> None:
    view = ViewConfig.model_validate({"kind": kind, "size": 64})
    shape = (64, 64) if kind == "whole" else (100, 70)
    source = batch_source(
        normals=[normal_sample(i, shape) for i in range(4)],
        abnormals=[abnormal_sample(i, shape) for i in range(3)],
        view=view,
        batch_size=30,
    )
    batch = source.batch(0)
    for images in (batch.normal_image, batch.abnormal_image):
        assert images.shape == (30, 3, 64, 64) and images.dtype == torch.uint8
    for masks in (batch.expert_mask, batch.prior_mask):
        assert masks.shape == (30, 1, 64, 64) and masks.dtype == torch.uint8
        assert set(masks.flatten().tolist()) == {0, 1}
        assert masks.flatten(1).any(1).all()


def test_a_prior_mask_lies_on_the_anomaly_also_after_windows_and_flips() -> None:
    source = batch_source(
        normals=[normal_sample(i, (250, 300)) for i in range(2)],
        abnormals=[abnormal_sample(i, (250, 300)) for i in range(3)],
        view=ViewConfig(kind="window", size=64),
        batch_size=24,
    )
    batch = source.batch(1)
    assert torch.equal(batch.abnormal_image[:, :1] < 40, batch.prior_mask == 1)


def test_images_are_flipped_both_ways() -> None:
    ramp = normal_sample(0)
    ramp.image[:] = np.add.outer(np.arange(64), 2 * np.arange(64))
    source = batch_source(normals=[ramp])
    corners = {int(source.pair(position)[0][0, 0]) for position in range(40)}
    assert corners == {0, 63, 126, 189}


def test_expert_masks_follow_the_masks_section() -> None:
    [element] = build_pool([abnormal_sample(0)], CLASS).elements
    source = batch_source(abnormals=[abnormal_sample(0)], masks=MaskConfig(pose="fixed", max_parts=1), batch_size=8)
    assert source.batch(0).expert_mask.sum((1, 2, 3)).tolist() == [element.mask.sum()] * 8


@pytest.mark.parametrize("kind", ["whole", "window"])
def test_an_expert_mask_lies_in_the_allowed_region_also_after_windows_and_flips(kind: str) -> None:
    """The region is painted into the pictures, so that it can be seen wherever it goes."""
    side = 64 if kind == "whole" else 90
    region = np.zeros((side, side), np.uint8)
    region[4:30, 10:50] = 1
    normals = [Sample(f"n{i}", region * np.uint8(200), meta={"group": "g"}) for i in range(2)]
    pool = MaskPool(CLASS, build_pool([abnormal_sample(0)], CLASS).elements, region=region)
    view = ViewConfig.model_validate({"kind": kind, "size": 64})
    batch = batch_source(normals=normals, pool=pool, view=view, batch_size=40).batch(0)
    assert (batch.normal_image[:, :1][batch.expert_mask == 1] == 200).all()
    if kind == "whole":
        corners = {(int(image[0, :30].sum()) > int(image[0, 34:].sum())) for image in batch.normal_image}
        assert corners == {False, True}


def test_a_fixed_element_stands_at_its_anchor_also_after_windows_and_flips() -> None:
    """The place of the element is painted into the picture; a window may cut it, as it cuts real anomalies."""
    image = np.zeros((90, 100), np.uint8)
    image[20 - 3 : 20 + 4, 30 - 3 : 30 + 4] = 255
    element = Element("a", np.ones((7, 7), np.uint8), 0, 0)
    source = batch_source(
        normals=[Sample("n", image), Sample("without", image)],
        pool=MaskPool(CLASS, (element,), anchors={"n": ((28.0, 18.0, 5.0, 5.0),)}),
        view=ViewConfig(kind="window", size=64),
        masks=MaskConfig(pose="fixed", max_parts=1),
        batch_size=30,
    )
    batch = source.batch(0)
    assert torch.equal(batch.normal_image[:, :1] == 255, batch.expert_mask == 1)
    areas = batch.expert_mask.sum((1, 2, 3))
    assert (areas > 0).all() and areas.max() == 49


@pytest.mark.parametrize(("pool", "areas"), [("whole", {9, 25}), ("prior_only", {9})])
def test_training_draws_from_the_whole_pool_unless_it_is_to_leave_out_the_experts(pool: str, areas: set[int]) -> None:
    elements = (
        Element("cut", np.ones((3, 3), np.uint8), 0, 0),
        Element("drawn", np.ones((5, 5), np.uint8), 0, 0, is_expert=True),
    )
    masks = MaskConfig.model_validate({"pool": pool, "pose": "fixed", "max_parts": 1})
    batch = batch_source(pool=MaskPool(CLASS, elements), masks=masks, batch_size=24).batch(0)
    assert set(batch.expert_mask.sum((1, 2, 3)).tolist()) == areas


def test_training_masks_have_as_many_parts_as_real_ones() -> None:
    dot = Element("dot", np.ones((2, 2), np.uint8), 0, 0)
    pool = MaskPool(CLASS, (dot,), part_counts=(3,))
    masks = MaskConfig(max_parts=4, min_distance_px=3, pose="fixed")
    assert batch_source(pool=pool, masks=masks, batch_size=8).batch(0).expert_mask.sum((1, 2, 3)).tolist() == [12] * 8


def test_parts_of_masks_are_numbered_where_they_are_to_be_told_apart() -> None:
    torn = [abnormal_sample(i) for i in range(3)]
    for number, sample in enumerate(torn):
        sample.masks[CLASS][60:64, 20 * number : 20 * number + 3] = 1
    plain, told = (
        batch_source(abnormals=torn, masks=MaskConfig(max_parts=4), batch_size=12, parts=parts) for parts in (1, 2)
    )
    batch = told.batch(1)
    for masks, others in (
        (batch.expert_mask, plain.batch(1).expert_mask),
        (batch.prior_mask, plain.batch(1).prior_mask),
    ):
        assert set(others.flatten().tolist()) == {0, 1}
        assert masks.dtype == torch.uint8 and masks.max() >= 2
        for mask, other in zip(masks[:, 0], others[:, 0], strict=True):
            assert np.array_equal(mask.numpy(), number_parts(other.numpy(), 2))


def test_colour_and_grey_pictures_meet_in_one_batch() -> None:
    batch = batch_source(normals=[normal_sample(0), normal_sample(1, (64, 64, 3))], batch_size=2).batch(0)
    planes_differ = (batch.normal_image[:, 0] != batch.normal_image[:, 1]).flatten(1).any(1)
    assert sorted(planes_differ.tolist()) == [False, True]


@pytest.mark.parametrize(
    ("missing", "wanted"), [("normals", "has no normal image"), ("abnormals", f"has no image of class {CLASS}")]
)
def test_a_split_without_one_kind_of_image_is_refused(missing: str, wanted: str) -> None:
    with pytest.raises(DataError, match=f"^training split: {wanted}; import more"):
        batch_source(**{missing: []})


def test_a_batch_goes_to_a_device_whole() -> None:
    batch = batch_source().batch(0)
    assert all(torch.equal(a, b) for a, b in zip(tensors(batch), tensors(batch.to(CPU)), strict=True))
    there = batch.to(torch.device("meta"))
    assert all(part.device.type == "meta" for part in tensors(there))
    assert there.positions == batch.positions


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_a_batch_splits_into_equal_parts_in_order(count: int) -> None:
    batch = batch_source(batch_size=6).batch(2)
    parts = batch.split(count)
    assert [len(part.positions) for part in parts] == [6 // count] * count
    assert tuple(position for part in parts for position in part.positions) == batch.positions
    for joined, whole in zip(map(torch.cat, zip(*map(tensors, parts), strict=True)), tensors(batch), strict=True):
        assert torch.equal(joined, whole)


# --- texture of real anomalies


EXEMPLARS = cut_exemplars([abnormal_sample(i) for i in range(3)], CLASS, 64)


def texture(batch: Batch) -> Tensor:
    assert batch.texture is not None
    return batch.texture


def test_a_batch_without_exemplars_has_no_texture_and_one_with_them_has_one_of_each_expert_mask() -> None:
    assert batch_source().batch(0).texture is None
    batch = batch_source(exemplars=EXEMPLARS, batch_size=6).batch(0)
    found = texture(batch)
    assert found.shape == (6, 1, 64, 64) and found.dtype == torch.float16
    assert (found[batch.expert_mask > 0].float().mean()) < -0.4  # holes are dark
    assert torch.equal(batch.expert_mask, batch_source(batch_size=6).batch(0).expert_mask)


@pytest.mark.parametrize("world_size", [2, 3])
def test_texture_is_a_function_of_the_position_whatever_the_ranks_are(world_size: int) -> None:
    alone = batch_source(exemplars=EXEMPLARS, batch_size=6)
    for step in (0, 2):
        whole = alone.batch(step)
        shared = [
            batch_source(exemplars=EXEMPLARS, batch_size=6, rank=rank, world_size=world_size).batch(step)
            for rank in range(world_size)
        ]
        for i, position in enumerate(whole.positions):
            one = texture(shared[i % world_size])[i // world_size]
            assert torch.equal(one, texture(whole)[i])
            mask = (whole.expert_mask[i, 0] > 0).numpy().astype(np.uint8)
            image = whole.normal_image[i, 0].numpy()
            wanted = lay_texture(image, mask, EXEMPLARS, (0, TEXTURE_STREAM, position)).planes
            assert np.array_equal(one.numpy(), wanted.astype(np.float16))
    assert len({plane.numpy().tobytes() for plane in texture(alone.batch(0))}) == 6


def test_another_seed_lays_in_another_texture() -> None:
    one, other = (batch_source(exemplars=EXEMPLARS, seed=seed).batch(0) for seed in (0, 1))
    assert not torch.equal(texture(one), texture(other))


def test_texture_goes_with_its_batch_to_a_device_and_into_its_parts() -> None:
    batch = batch_source(exemplars=EXEMPLARS, batch_size=6).batch(0)
    there = batch.to(torch.device("meta"))
    assert texture(there).device.type == "meta"
    assert torch.equal(torch.cat([texture(part) for part in batch.split(3)]), texture(batch))


@pytest.mark.parametrize("content", ["exemplar", "filling", "image"])
def test_a_run_has_the_exemplars_of_its_training_pictures_where_its_config_lays_them_in(content: str) -> None:
    torn = [abnormal_sample(i) for i in range(3)]
    config = train_config(model={"content": content})
    normals, view = [normal_sample(0)], ViewConfig(size=64)
    source = BatchSource.of_run(normals, torn, build_pool(torn, CLASS), view, config)
    found = [one.source for one in source.exemplars]
    assert found == ([one.key for one in torn] if content == "exemplar" else [])


def test_colour_exemplars_give_three_planes() -> None:
    coloured = [abnormal_sample(i, (64, 64, 3)) for i in range(3)]
    source = batch_source(abnormals=coloured, exemplars=cut_exemplars(coloured, CLASS, 64))
    assert texture(source.batch(0)).shape == (2, 3, 64, 64)
