import json

import pytest

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.generation.description import WITHOUT_NOISE, ModelDescription, parse_description
from anomaly_gan.generation.snapshot import Snapshot, snapshot_bytes
from anomaly_gan.networks.generator import build_generator
from infra.errors import DataError
from tests.support.builders import train_config

TOLD = ModelDescription("crack", ViewConfig(size=64), TrainConfig(batch_size=2), {"nimg": 640}, "ab" * 32)


def test_a_description_is_read_as_it_was_written() -> None:
    assert parse_description(TOLD.to_bytes(), "m") == TOLD


def test_a_saved_model_describes_itself_so() -> None:
    config = train_config()
    snapshot = Snapshot(build_generator(config.model), "crack", ViewConfig(size=64), config, {"nimg": 1})
    _, description = snapshot_bytes(snapshot)
    told = parse_description(description, "m")
    assert told.to_bytes() == description
    assert (told.class_name, told.view, told.config, told.record) == ("crack", snapshot.view, config, {"nimg": 1})


def test_a_model_of_before_names_no_digest() -> None:
    before = {key: value for key, value in json.loads(TOLD.to_bytes()).items() if key != "weights_sha256"}
    assert parse_description(json.dumps(before).encode(), "m").weights_sha256 is None


def test_another_schema_is_refused_with_both_numbers() -> None:
    other = json.loads(TOLD.to_bytes()) | {"schema_version": 2}
    with pytest.raises(DataError, match=r"^model m: model schema 2, expected 4$"):
        parse_description(json.dumps(other).encode(), "model m")


def test_a_model_of_schema_3_is_read_as_one_without_noise_exemplars_and_critic() -> None:
    before = json.loads(TOLD.to_bytes()) | {"schema_version": 3}
    for name in WITHOUT_NOISE:
        del before["train"]["model"][name]
    read = parse_description(json.dumps(before).encode(), "m").config.model
    told = (read.noise_planes, read.content, read.opacity_start, read.texture_critic)
    assert told == (0, "image", -2.0, False)
    assert read.model_copy(update={name: getattr(TOLD.config.model, name) for name in WITHOUT_NOISE}) == (
        TOLD.config.model
    )


@pytest.mark.parametrize("data", [b"", b"\x00broken", b"[]", b"{}", b'{"schema_version": 3}', b'{"schema_version": 4}'])
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^model m: not a readable model "):
        parse_description(data, "model m")
