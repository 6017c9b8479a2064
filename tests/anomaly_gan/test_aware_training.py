"""The aware network of a data set: its crops, and what it learns from them."""

import numpy as np
import pytest
import torch

from anomaly_gan.aware_training import labelled_crops, random_aware, train_aware
from anomaly_gan.batches import Batch
from anomaly_gan.config import CropConfig
from anomaly_gan.data import to_model_range
from tests.builders import CPU, batch_source, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_labelled_crops_are_cut_around_the_masks_first_abnormal_then_normal() -> None:
    images = torch.arange(2 * 3 * 64 * 64).reshape(2, 3, 64, 64) % 251
    normal, abnormal = images[:1].to(torch.uint8), images[1:].to(torch.uint8)
    expert, prior = torch.zeros(1, 1, 64, 64, dtype=torch.uint8), torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    expert[..., 10, 20] = prior[..., 40, 50] = 1
    crops, target = labelled_crops(Batch(normal, expert, abnormal, prior), CropConfig(margin=0, min_side_px=1))
    assert crops.shape == (2, 3, 64, 64)
    assert target.tolist() == [1, 0]
    middle = crops[..., 32, 32]
    assert torch.allclose(middle[0], to_model_range(abnormal)[0, :, 40, 50], atol=0.05)
    assert torch.allclose(middle[1], to_model_range(normal)[0, :, 10, 20], atol=0.05)


def test_a_random_network_depends_on_its_seed_and_keeps_the_scale_of_activations() -> None:
    first, again, other = (weights_of(random_aware(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
    taps = random_aware(0)(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert all(0.1 < tap.std().item() < 10 for tap in taps)


def test_training_tells_dark_anomalies_from_normal_crops_and_freezes_the_network() -> None:
    source = batch_source(batch_size=4)
    start = weights_of(random_aware(source.seed))
    network, accuracy = train_aware(source, CropConfig(), 12, CPU)
    assert accuracy > 0.8
    learnt = weights_of(network)
    assert any(not torch.equal(start[key], learnt[key]) for key in start)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_training_is_reproducible() -> None:
    trained = []
    for _ in range(2):
        torch.manual_seed(np.random.default_rng().integers(1000))
        trained.append(train_aware(batch_source(), CropConfig(), 2, CPU))
    assert trained[0][1] == trained[1][1]
    first, second = weights_of(trained[0][0]), weights_of(trained[1][0])
    assert all(torch.equal(first[key], second[key]) for key in first)
