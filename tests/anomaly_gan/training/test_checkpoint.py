"""Snapshots and checkpoints: round trips, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_gan import ranks
from anomaly_gan.config import ViewConfig
from anomaly_gan.exemplars.exemplar import cut_exemplars
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.generation.snapshot import Snapshot, load_snapshot, snapshot_bytes
from anomaly_gan.training.checkpoint import SCHEMA_VERSION, gather_image_pools, restore, save
from anomaly_gan.training.loop import run
from infra.errors import DataError
from tests.support.builders import (
    CLASS,
    CPU,
    PRESETS,
    TINY_NETWORKS,
    abnormal_sample,
    batch_source,
    equal_states,
    everything,
    tiny_generator,
    train_config,
    train_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def snapshot(**model: Any) -> Snapshot:
    record = {"job": "train-1", "nimg": 8, "aware": "dataset"}
    return Snapshot(tiny_generator(**model), "hole", ViewConfig(size=64), train_config(model=model), record)


def changed(description: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(description) | changes).encode()


@pytest.mark.parametrize("model", [{}, {"generator_norm": "batch", "upsample": "transposed", "gray": False}])
def test_a_loaded_snapshot_makes_the_same_images_and_knows_its_history(model: dict[str, Any]) -> None:
    saved = snapshot(**model)
    loaded = load_snapshot(*snapshot_bytes(saved), "model hole-1", CPU)
    image, mask = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    assert torch.equal(loaded.generator(image, mask), saved.generator(image, mask))
    assert (loaded.class_name, loaded.view, loaded.config) == (saved.class_name, saved.view, saved.config)
    assert loaded.record == saved.record
    assert not loaded.generator.training
    assert not any(parameter.requires_grad for parameter in loaded.generator.parameters())


def test_a_model_keeps_the_exemplars_that_its_generator_lays_in() -> None:
    config, generator = train_config(), tiny_generator()
    generator.exemplars = cut_exemplars([abnormal_sample(i) for i in range(3)], CLASS, 64)
    files = snapshot_bytes(Snapshot(generator, CLASS, ViewConfig(size=64), config, {}))
    found = load_snapshot(*files, "m", CPU).generator.exemplars
    assert [one.source for one in found] == [one.source for one in generator.exemplars] != []
    assert all(np.array_equal(one.image, other.image) for one, other in zip(found, generator.exemplars, strict=True))
    assert all(np.array_equal(one.mask, other.mask) for one, other in zip(found, generator.exemplars, strict=True))


def test_a_snapshot_is_the_same_bytes_each_time() -> None:
    assert snapshot_bytes(snapshot()) == snapshot_bytes(snapshot())


@pytest.mark.parametrize("cut", [0, 5, 300])
def test_a_broken_snapshot_is_refused_by_name(cut: int) -> None:
    weights, description = snapshot_bytes(snapshot())
    for broken in ((weights[:cut], description), (weights, description[:cut])):
        with pytest.raises(DataError, match=r"^model hole-1: not a readable model \(.+\)"):
            load_snapshot(*broken, "model hole-1", CPU)


def test_weights_of_another_digest_are_refused_and_a_description_without_one_is_not_held_against_them() -> None:
    weights, description = snapshot_bytes(snapshot())
    flipped = weights[:-1] + bytes([weights[-1] ^ 1])
    with pytest.raises(DataError, match=r"^model hole-1: not a readable model \(the weights' sha256 is not that of"):
        load_snapshot(flipped, description, "model hole-1", CPU)
    told = json.loads(description)
    assert load_snapshot(weights, description, "m", CPU).weights_sha256 == told.pop("weights_sha256")
    assert load_snapshot(flipped, json.dumps(told).encode(), "m", CPU).class_name == told["class_name"]


def test_a_snapshot_of_another_schema_is_refused_with_both_numbers() -> None:
    weights, description = snapshot_bytes(snapshot())
    with pytest.raises(DataError, match=f"^model hole-1: model schema 99, expected {SCHEMA_VERSION}"):
        load_snapshot(weights, changed(description, schema_version=99), "model hole-1", CPU)


def test_a_description_of_another_network_or_with_an_unknown_knob_is_refused() -> None:
    weights, description = snapshot_bytes(snapshot())
    _, other = snapshot_bytes(snapshot(generator_widths=(8, 16)))
    unknown = changed(description, train={**json.loads(description)["train"], "speed": 1})
    for wrong in (other, unknown):
        with pytest.raises(DataError, match=r"^model hole-1: not a readable model"):
            load_snapshot(weights, wrong, "model hole-1", CPU)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def saved(path: Path, **changes: Any) -> AnomalyGan:
    """A state that was trained for 4 steps and is saved at the path."""
    state = train_state(train_config(image_pool=2, augment={"probability": 0.5}, **changes))
    list(run(state, batch_source()))
    save(state, gather_image_pools(state), path)
    return state


@pytest.mark.parametrize("preset", PRESETS)
def test_a_restored_state_is_the_saved_one(preset: str, path: Path) -> None:
    changes = {key: value for key, value in PRESETS[preset].items() if key != "image_pool"}
    state = saved(path, **changes)
    other = train_state(train_config(seed=9, image_pool=2, **changes))
    assert not equal_states(everything(other)["g_ema"], everything(state)["g_ema"])
    restore(other, path, "checkpoint 4")
    assert other.step == state.step == 4
    assert equal_states(everything(other), everything(state))
    assert [len(history) for pool in other.image_pools.values() for history in pool.histories.values()] == [2] * 4


def test_each_rank_takes_its_own_places_of_the_image_pools(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = saved(path)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    other = train_state(state.config)
    restore(other, path, "checkpoint 4")
    for domain, pool in other.image_pools.items():
        assert equal_states(pool.histories, {1: state.image_pools[domain].histories[1]})


def test_the_image_pools_of_all_ranks_are_gathered_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    state = train_state(train_config(image_pool=1))
    list(run(state, batch_source()))
    theirs = {domain: {7: [(torch.ones(3, 64, 64), torch.ones(1, 64, 64))]} for domain in ("abnl", "norm")}
    monkeypatch.setattr(ranks, "collect", lambda mine: [mine, theirs])
    gathered = gather_image_pools(state)
    for domain, histories in gathered.items():
        assert sorted(histories) == [0, 1, 7]
        assert equal_states(histories, state.image_pools[domain].histories | theirs[domain])


def test_a_checkpoint_of_before_knows_of_no_choice(path: Path) -> None:
    state = train_state(train_config())
    save(state, gather_image_pools(state), path, {"chosen": {"weights": {"a": torch.ones(1)}}})
    assert torch.equal(restore(state, path, "checkpoint 0")["chosen"]["weights"]["a"], torch.ones(1))
    kept = torch.load(path, weights_only=True)
    del kept["selection"]
    torch.save(kept, path)
    assert restore(state, path, "checkpoint 0") == {}


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04 but no archive"])
def test_a_file_that_is_no_checkpoint_is_refused_by_name(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run \(.+\)"):
        restore(train_state(train_config()), path, "step-8")


def test_half_a_checkpoint_is_refused_by_name(path: Path) -> None:
    state = saved(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run"):
        restore(state, path, "step-8")


def test_a_checkpoint_of_another_schema_is_refused_with_both_numbers(path: Path) -> None:
    state = train_state(train_config())
    save(state, {}, path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"schema_version": 7}, path)
    with pytest.raises(DataError, match=f"^step-8: checkpoint schema 7, expected {SCHEMA_VERSION}"):
        restore(state, path, "step-8")


def test_a_checkpoint_without_one_of_its_parts_is_refused(path: Path) -> None:
    state = train_state(train_config())
    save(state, gather_image_pools(state), path)
    content = torch.load(path, weights_only=True)
    for part in ("step", "g_ema", "optim_d", "image_pools"):
        torch.save({key: value for key, value in content.items() if key != part}, path)
        with pytest.raises(DataError, match=rf"^step-8: not a checkpoint of this run \('{part}'\)"):
            restore(state, path, "step-8")


@pytest.mark.parametrize(
    ("model", "part"),
    [({"generator_widths": (8, 16)}, "GeneratorPass"), ({"width_mult": 0.25}, "DiscriminatorPass")],
)
def test_a_checkpoint_of_other_networks_is_refused_with_their_name(
    model: dict[str, Any], part: str, path: Path
) -> None:
    save(train_state(train_config(model=model)), {}, path)
    with pytest.raises(DataError, match=f"^step-8: not a checkpoint of this run .*{part}"):
        restore(train_state(train_config(model=TINY_NETWORKS)), path, "step-8")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_no_code_of_a_checkpoint_is_run(path: Path) -> None:
    sprung = path.with_name("sprung")
    torch.save({"schema_version": SCHEMA_VERSION, "step": Trap(sprung)}, path)
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run"):
        restore(train_state(train_config()), path, "step-8")
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()
