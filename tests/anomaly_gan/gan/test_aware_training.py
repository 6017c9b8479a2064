"""The aware network of a data set: its crops, what is held out, and what it learns from the rest."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from anomaly_gan.config import CropConfig, MaskConfig
from anomaly_gan.gan import aware_training
from anomaly_gan.gan.aware_training import AwareTraining, hold_out, labelled_crops, random_aware, train_aware
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.batches import Batch, BatchSource
from infra.errors import DataError
from tests.support.builders import CPU, NarrowAware, abnormal_sample, batch_source, normal_sample, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of few channels, that learns in steps which cost next to nothing."""
    monkeypatch.setattr(aware_training, "AwareNetwork", NarrowAware)
    monkeypatch.setattr(aware_training, "LEARNING_RATE", 0.01)


def grouped(normals: Sequence[str], abnormals: Sequence[str], seed: int = 0) -> BatchSource:
    """One picture for each group that is named."""
    return batch_source(
        normals=[replace(normal_sample(i), meta={"group": group}) for i, group in enumerate(normals)],
        abnormals=[replace(abnormal_sample(i), meta={"group": group}) for i, group in enumerate(abnormals)],
        seed=seed,
    )


def ten_and_ten() -> BatchSource:
    """Each of the 20 pictures is a group of its own."""
    return grouped([f"n{i}" for i in range(10)], [f"a{i}" for i in range(10)])


def keys(source: BatchSource) -> list[list[str]]:
    return [[sample.key for sample in samples] for samples in (source.normals, source.abnormals)]


def groups(source: BatchSource) -> set[str]:
    return {sample.meta["group"] for sample in [*source.normals, *source.abnormals]}


def repainted(source: BatchSource, paint: Callable[[Sample], int | None]) -> BatchSource:
    """The source with each picture in the grey level that `paint` gives; None leaves it."""

    def painted(sample: Sample) -> Sample:
        level = paint(sample)
        return sample if level is None else replace(sample, image=np.full_like(sample.image, level))

    return replace(source, normals=[*map(painted, source.normals)], abnormals=[*map(painted, source.abnormals)])


def same_weights(first: AwareTraining, second: AwareTraining) -> bool:
    one, other = weights_of(first.network), weights_of(second.network)
    return all(torch.equal(one[key], other[key]) for key in one)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, list[list[str]]]]:
    """For each batch that is asked for from now on: whether it can be learnt from, and the keys of its source."""
    seen = []
    batch = BatchSource.batch

    def recording(source: BatchSource, step: int) -> Batch:
        seen.append((torch.is_grad_enabled(), keys(source)))
        return batch(source, step)

    monkeypatch.setattr(BatchSource, "batch", recording)
    return seen


def batch_of(normal: torch.Tensor, expert: torch.Tensor, abnormal: torch.Tensor, prior: torch.Tensor) -> Batch:
    return Batch(normal_image=normal, expert_mask=expert, abnormal_image=abnormal, prior_mask=prior)


def test_labelled_crops_are_cut_around_the_prior_masks_first_abnormal_then_normal() -> None:
    images = torch.arange(2 * 3 * 64 * 64).reshape(2, 3, 64, 64) % 251
    normal, abnormal = images[:1].to(torch.uint8), images[1:].to(torch.uint8)
    expert, prior = torch.zeros(1, 1, 64, 64, dtype=torch.uint8), torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    expert[..., 10, 20] = prior[..., 40, 50] = 1
    crops, target = labelled_crops(batch_of(normal, expert, abnormal, prior), CropConfig(margin=0, min_side_px=1))
    assert crops.shape == (2, 3, 64, 64)
    assert target.tolist() == [1, 0]
    middle = crops[..., 32, 32]
    assert torch.allclose(middle[0], to_model_range(abnormal)[0, :, 40, 50], atol=0.05)
    assert torch.allclose(middle[1], to_model_range(normal)[0, :, 40, 50], atol=0.05)


def test_every_crop_of_a_mask_with_several_boxes_has_its_label() -> None:
    white, black = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8), torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    mask = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    mask[..., 10:20, 20:30] = 1
    crops, target = labelled_crops(batch_of(white, mask, black, mask), CropConfig(parts=3))
    assert target.tolist() == [1] * 6 + [0] * 6
    assert torch.equal(crops.amax((1, 2, 3)), 1 - 2 * target)


def test_a_random_network_depends_on_its_seed_and_keeps_the_scale_of_activations() -> None:
    first, again, other = (weights_of(random_aware(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
    taps = random_aware(0)(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert all(0.1 < tap.std().item() < 10 for tap in taps)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("normals", "abnormals"),
    [
        ("ab", "cd"),
        ("ab", "ab"),
        ("ab", "bc"),
        ("aab", "abbb"),
        ("aaaaabcd", "defghijk"),
        ("abcdefghij", "aaabbbcccdddeeefff"),
        ("aaaaaaaaab", "bbbbbbbbba"),
    ],
)
def test_no_group_is_on_both_sides_and_both_have_images_of_both_kinds(normals: str, abnormals: str, seed: int) -> None:
    source = grouped(list(normals), list(abnormals), seed)
    learnt, held_out = hold_out(source)
    assert not groups(learnt) & groups(held_out)
    for whole, some, others in zip(keys(source), keys(learnt), keys(held_out), strict=True):
        assert some and others
        assert sorted(some + others) == sorted(whole)


def test_about_a_fifth_of_each_kind_is_held_out() -> None:
    assert [len(part) for part in keys(hold_out(ten_and_ten())[1])] == [2, 2]


def test_what_is_held_out_depends_on_the_seed_and_not_on_the_order() -> None:
    source = ten_and_ten()
    first, again = (keys(hold_out(source)[1]) for _ in range(2))
    turned = replace(source, normals=source.normals[::-1], abnormals=source.abnormals[::-1])
    assert first == again == [part[::-1] for part in keys(hold_out(turned)[1])]
    assert any(keys(hold_out(replace(source, seed=seed))[1]) != first for seed in range(1, 4))


def test_a_picture_without_group_is_a_group_of_its_own() -> None:
    source = batch_source(normals=[replace(normal_sample(i), meta={}) for i in range(3)])
    assert [len(part) for part in keys(hold_out(source)[1])] == [1, 1]


@pytest.mark.parametrize(
    ("normals", "abnormals", "why"),
    [
        ("aaa", "bc", "all normal images are of one group"),
        ("ab", "ccc", "all hole images are of one group"),
        ("a", "a", "all normal images are of one group"),
    ],
)
@pytest.mark.usefixtures("narrow")
def test_where_nothing_can_be_held_out_all_is_learnt_from_and_the_reason_told(
    normals: str, abnormals: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, seen = grouped(list(normals), list(abnormals)), recorded(monkeypatch)
    with pytest.raises(DataError, match=why):
        hold_out(source)
    trained = train_aware(source, CropConfig(), 2, CPU)
    assert trained.held_out_accuracy is None and trained.held_out_crops == 0
    assert trained.not_measured == why
    assert seen == [(True, keys(source))] * 2


@pytest.mark.usefixtures("narrow")
def test_it_learns_from_one_side_and_measures_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    source, seen = ten_and_ten(), recorded(monkeypatch)
    train_aware(source, CropConfig(), 3, CPU)
    learnt, held_out = hold_out(source)
    assert seen[:3] == [(True, keys(learnt))] * 3
    assert seen[3:] and set(map(str, seen[3:])) == {str((False, keys(held_out)))}


@pytest.mark.usefixtures("narrow")
def test_the_pixels_of_a_held_out_image_do_not_reach_the_network() -> None:
    source = ten_and_ten()
    learnt, held_out = (keys(part) for part in hold_out(source))
    as_is = train_aware(source, CropConfig(), 5, CPU)
    other_held_out = repainted(source, lambda sample: 200 if sample.key in held_out[0] + held_out[1] else None)
    other_learnt = repainted(source, lambda sample: 200 if sample.key == learnt[0][0] else None)
    assert same_weights(as_is, train_aware(other_held_out, CropConfig(), 5, CPU))
    assert not same_weights(as_is, train_aware(other_learnt, CropConfig(), 5, CPU))


def test_training_tells_dark_anomalies_from_normal_crops_and_freezes_the_network() -> None:
    source = batch_source()
    start = weights_of(random_aware(source.seed))
    trained = train_aware(source, CropConfig(), 10, CPU)
    assert trained.held_out_accuracy is not None and trained.held_out_accuracy > 0.9
    assert trained.held_out_crops == 64 and not trained.not_measured
    learnt = weights_of(trained.network)
    assert any(not torch.equal(start[key], learnt[key]) for key in start)
    assert not trained.network.training
    assert not any(parameter.requires_grad for parameter in trained.network.parameters())


@pytest.mark.usefixtures("narrow")
def test_what_is_true_of_the_learnt_images_alone_does_not_count() -> None:
    source = replace(ten_and_ten(), masks=MaskConfig(pose="fixed", max_parts=1), batch_size=8)
    held_out = keys(hold_out(source)[1])

    def paint(sample: Sample) -> int:
        """Abnormal images are dark and normal ones light; of the held-out images one of each kind is the other way."""
        dark = bool(sample.masks)
        if sample.key in (held_out[0][0], held_out[1][0]):
            dark = not dark
        return 20 if dark else 230

    assert train_aware(repainted(source, paint), CropConfig(), 40, CPU).held_out_accuracy == 0.5
    honest = repainted(source, lambda sample: 20 if sample.masks else 230)
    assert train_aware(honest, CropConfig(), 40, CPU).held_out_accuracy == 1


@pytest.mark.usefixtures("narrow")
def test_with_labels_by_chance_the_accuracy_is_about_one_half() -> None:
    noise = [replace(normal_sample(100 + i), key=f"abnormal-{i:03d}") for i in range(10)]
    abnormals = [replace(sample, masks=abnormal_sample(i).masks) for i, sample in enumerate(noise)]
    masks = MaskConfig(pose="fixed", max_parts=1)
    normals = [normal_sample(i) for i in range(10)]
    source = batch_source(normals=normals, abnormals=abnormals, masks=masks, batch_size=8)
    accuracy = train_aware(source, CropConfig(), 40, CPU).held_out_accuracy
    assert accuracy is not None and 0.3 < accuracy < 0.7


@pytest.mark.usefixtures("narrow")
def test_training_is_a_function_of_its_arguments_and_leaves_no_trace_in_the_global_generator() -> None:
    trained = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        trained.append(train_aware(batch_source(), CropConfig(), 2, CPU))
        random_aware(0)
        assert torch.equal(torch.get_rng_state(), before)
    assert trained[0].held_out_accuracy == trained[1].held_out_accuracy
    assert same_weights(*trained)


@pytest.mark.parametrize(("abnormals", "crops"), [(10, 64), (60, 96), (300, 256)])
@pytest.mark.usefixtures("narrow")
def test_more_held_out_images_are_measured_on_more_crops_within_bounds(abnormals: int, crops: int) -> None:
    source = grouped("ab", [f"g{i}" for i in range(abnormals)])
    assert train_aware(source, CropConfig(), 1, CPU).held_out_crops == crops


@pytest.mark.usefixtures("narrow")
def test_one_rank_of_several_measures_on_all_held_out_crops() -> None:
    source = replace(ten_and_ten(), rank=1, world_size=2)
    assert train_aware(source, CropConfig(), 1, CPU).held_out_crops == 64
