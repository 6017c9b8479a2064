"""Snapshots and checkpoints: round trips, and what is refused."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_gan.checkpoint import Snapshot, checkpoint_bytes, load_snapshot, restore, snapshot_bytes
from anomaly_gan.config import ViewConfig
from anomaly_gan.training import run
from infra.errors import DataError
from tests.builders import (
    CPU,
    PAPER_NETWORKS,
    TINY_NETWORKS,
    batch_source,
    equal_states,
    tiny_generator,
    train_config,
    train_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PARTS = ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d")


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


def test_a_snapshot_is_the_same_bytes_each_time() -> None:
    assert snapshot_bytes(snapshot()) == snapshot_bytes(snapshot())


@pytest.mark.parametrize("cut", [0, 5, 300])
def test_a_broken_snapshot_is_refused_by_name(cut: int) -> None:
    weights, description = snapshot_bytes(snapshot())
    for broken in ((weights[:cut], description), (weights, description[:cut])):
        with pytest.raises(DataError, match=r"^model hole-1: not a readable model \(.+\)"):
            load_snapshot(*broken, "model hole-1", CPU)


def test_a_snapshot_of_another_schema_is_refused_with_both_numbers() -> None:
    weights, description = snapshot_bytes(snapshot())
    with pytest.raises(DataError, match=r"^model hole-1: model schema 99, expected 1"):
        load_snapshot(weights, changed(description, schema_version=99), "model hole-1", CPU)


def test_a_description_of_another_network_or_with_an_unknown_knob_is_refused() -> None:
    weights, description = snapshot_bytes(snapshot())
    _, other = snapshot_bytes(snapshot(generator_widths=(8, 16)))
    unknown = changed(description, train={**json.loads(description)["train"], "speed": 1})
    for wrong in (other, unknown):
        with pytest.raises(DataError, match=r"^model hole-1: not a readable model"):
            load_snapshot(weights, wrong, "model hole-1", CPU)


@pytest.mark.parametrize("model", [{}, PAPER_NETWORKS], ids=["stable", "paper"])
def test_a_restored_state_is_the_saved_one(model: dict[str, Any]) -> None:
    config = train_config(model=model, total_images=4)
    state = train_state(config)
    list(run(state, batch_source()))
    other = train_state(train_config(model=model, total_images=4, seed=9))
    restore(other, checkpoint_bytes(state), "checkpoint 2")
    assert other.step == state.step == 2
    for part in PARTS:
        assert equal_states(getattr(other, part).state_dict(), getattr(state, part).state_dict()), part


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04 but no archive"])
def test_bytes_that_are_no_checkpoint_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run \(.+\)"):
        restore(train_state(train_config()), data, "step-8")


def test_half_a_checkpoint_is_refused_by_name() -> None:
    state = train_state(train_config())
    data = checkpoint_bytes(state)
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run"):
        restore(state, data[: len(data) // 2], "step-8")


def test_a_checkpoint_of_another_schema_is_refused_with_both_numbers() -> None:
    state = train_state(train_config())
    saved = torch.load(io.BytesIO(checkpoint_bytes(state)), weights_only=True)
    stream = io.BytesIO()
    torch.save(saved | {"schema_version": 7}, stream)
    with pytest.raises(DataError, match=r"^step-8: checkpoint schema 7, expected 1"):
        restore(state, stream.getvalue(), "step-8")


@pytest.mark.parametrize(
    ("model", "part"),
    [({"generator_widths": (8, 16)}, "GeneratorPass"), ({"discriminator_width": 16}, "DiscriminatorPass")],
)
def test_a_checkpoint_of_other_networks_is_refused_with_their_name(model: dict[str, Any], part: str) -> None:
    data = checkpoint_bytes(train_state(train_config(model=model)))
    with pytest.raises(DataError, match=f"^step-8: not a checkpoint of this run .*{part}"):
        restore(train_state(train_config(model=TINY_NETWORKS)), data, "step-8")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_no_code_of_a_checkpoint_is_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    stream = io.BytesIO()
    torch.save({"schema_version": 1, "step": Trap(sprung)}, stream)
    with pytest.raises(DataError, match=r"^step-8: not a checkpoint of this run"):
        restore(train_state(train_config()), stream.getvalue(), "step-8")
    assert not sprung.exists()
    torch.load(io.BytesIO(stream.getvalue()), weights_only=False)
    assert sprung.exists()
