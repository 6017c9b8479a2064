import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_gan.config import AwareConfig, CropConfig, MaskConfig, ViewConfig
from anomaly_gan.gan.aware_training import random_aware
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.training.batches import BatchSource
from infra.errors import AganError, DataError, NotFoundError, StorageError, UsageError
from jobs.library.training_split import load_training_split
from jobs.train.aware import aware_network, cached_aware
from tests.support.builders_jobs import RESOLUTION, put_dataset
from tests.support.helpers import MemoryStorage

CPU = torch.device("cpu")
KEY: dict[str, object] = {"class": "crack", "steps": 1}


@pytest.fixture(scope="module")
def source() -> BatchSource:
    storage = MemoryStorage()
    index = put_dataset(storage)
    split = load_training_split(storage, f"tiles@{index.version}", "crack")
    view = ViewConfig(size=RESOLUTION)
    return BatchSource(split.normals, split.abnormals, split.pool, view, MaskConfig(), seed=3, batch_size=2)


def network(source: BatchSource, weights: str) -> tuple[AwareNetwork, str]:
    return aware_network(AwareConfig(weights=weights, steps=1), CropConfig(), source, CPU)


def same(one: AwareNetwork, other: AwareNetwork) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def saved(path: Path, value: Any) -> str:
    torch.save(value, path)
    return str(path)


@pytest.mark.parametrize("weights", ["random", "dataset"])
def test_the_network_is_frozen_and_the_same_for_the_same_seed(source: BatchSource, weights: str) -> None:
    made, told = network(source, weights)
    assert told.startswith(weights)
    assert same(made, network(source, weights)[0])
    assert not made.training and not any(parameter.requires_grad for parameter in made.parameters())


def test_the_record_says_how_well_it_tells_crops_that_it_has_not_seen(source: BatchSource) -> None:
    told = network(source, "dataset")[1]
    assert re.fullmatch(r"dataset: 1 steps, held-out accuracy [01]\.\d\d of 64 crops", told)


def test_the_record_says_why_there_is_no_accuracy(source: BatchSource) -> None:
    told = network(replace(source, abnormals=source.abnormals[:1]), "dataset")[1]
    assert told == "dataset: 1 steps, held-out accuracy not measured: all crack images are of one group"


def test_a_file_gives_its_own_weights_and_its_digest(source: BatchSource, tmp_path: Path) -> None:
    wanted = random_aware(7)
    state = {**wanted.state_dict(), "classifier.6.weight": torch.zeros(1)}
    url = saved(tmp_path / "vgg16.pth", state)
    made, told = network(source, url)
    assert same(made, wanted)
    assert told.startswith(f"{url} sha256 ") and len(told.rpartition(" ")[2]) == 64


def test_a_missing_file_is_named_with_what_to_do(source: BatchSource, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=rf"train\.aware\.weights: vgg16\.pth is not at {tmp_path}.*use `dataset`"):
        network(source, f"{tmp_path}/vgg16.pth")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "has no features.0.weight; expected a VGG-16 state dict"),
        ({"features.0.weight": torch.zeros(2)}, r"features\.0\.weight has shape \(2,\), expected \(64, 3, 3, 3\)"),
        ({"features.0.weight": 5}, "not a state dict"),
        (torch.zeros(2), "not a state dict, but Tensor"),
        (5, "not a state dict, but int"),
    ],
)
def test_a_file_that_is_no_vgg16_state_dict_is_refused(
    source: BatchSource, tmp_path: Path, value: Any, message: str
) -> None:
    url = saved(tmp_path / "weights.pth", value)
    with pytest.raises(DataError, match=rf"weights\.pth: {message}"):
        network(source, url)


def test_a_file_that_would_run_code_is_refused(source: BatchSource, tmp_path: Path) -> None:
    url = saved(tmp_path / "weights.pth", io.BytesIO)
    with pytest.raises(DataError, match="not a state dict"):
        network(source, url)
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(DataError, match="not a state dict"):
        network(source, str(tmp_path / "text.pth"))


@pytest.mark.parametrize(("url", "error"), [("odd://x/y", UsageError), ("/", StorageError)])
def test_what_cannot_be_opened_is_an_expected_error(source: BatchSource, url: str, error: type[AganError]) -> None:
    with pytest.raises(error, match="cannot be"):
        network(source, url)


class Maker:
    """Makes a network, and knows how often it was asked."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> tuple[AwareNetwork, str]:
        self.made += 1
        return random_aware(self.made).frozen(), f"made {self.made}"


def test_a_network_is_made_once_and_kept_with_its_data_set() -> None:
    storage, make = MemoryStorage(), Maker()
    first, told = cached_aware(storage, "tiles", "v1", KEY, make)
    again, told_again = cached_aware(storage, "tiles", "v1", KEY, make)
    assert make.made == 1 and told == told_again == "made 1"
    assert same(first, again) and not any(parameter.requires_grad for parameter in again.parameters())
    assert all(key.startswith("datasets/tiles/aware/") for key in storage.objects)
    assert list(storage.objects)[-1].endswith(".json")


def test_a_kept_network_is_not_trained_again_and_says_the_same(source: BatchSource) -> None:
    storage = MemoryStorage()
    trained, told = cached_aware(storage, "tiles", "v1", KEY, lambda: network(source, "dataset"))

    def never() -> tuple[AwareNetwork, str]:
        raise AssertionError("trained again")

    kept, told_again = cached_aware(storage, "tiles", "v1", KEY, never)
    assert same(trained, kept)
    assert told == told_again and "held-out accuracy" in told


def test_whatever_decides_the_network_makes_another() -> None:
    storage, make = MemoryStorage(), Maker()
    cached_aware(storage, "tiles", "v1", KEY, make)
    cached_aware(storage, "tiles", "v2", KEY, make)
    cached_aware(storage, "tiles", "v1", {**KEY, "steps": 2}, make)
    cached_aware(storage, "belt", "v1", KEY, make)
    assert make.made == 4


def test_a_half_written_network_is_made_again_and_a_broken_one_is_named() -> None:
    storage, make = MemoryStorage(), Maker()
    cached_aware(storage, "tiles", "v1", KEY, make)
    weights, description = list(storage.objects)
    storage.delete(description)
    cached_aware(storage, "tiles", "v1", KEY, make)
    assert make.made == 2
    storage.write(weights, b"broken")
    with pytest.raises(DataError, match=f"not the aware network that was kept; remove {description}"):
        cached_aware(storage, "tiles", "v1", KEY, make)
