import json
from collections.abc import Callable

import pytest

from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from infra.errors import DataError, NotFoundError
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from jobs.library.models.files import list_models, load_description, model_digest
from tests.support.builders_jobs import RESOLUTION, put_model
from tests.support.helpers import MemoryStorage


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_only_whole_models_are_listed(storage: MemoryStorage) -> None:
    assert list_models(storage) == []
    put_model(storage, "b")
    put_model(storage, "a")
    storage.write("models/half/generator.safetensors", b"")
    assert [entry.model_id for entry in list_models(storage)] == ["a", "b"]
    assert json.loads(list_models(storage)[0].description)["class_name"] == "crack"


def test_a_description_is_there_without_the_weights(storage: MemoryStorage) -> None:
    put_model(storage, "m")
    digest = sha256(storage.read(f"models/m/{WEIGHTS}"))
    storage.delete(f"models/m/{WEIGHTS}")
    told = load_description(storage, "m")
    assert (told.class_name, told.view.size, told.record["job_id"]) == ("crack", RESOLUTION, "m")
    assert told.weights_sha256 == model_digest(storage, "m") == digest


def test_the_digest_of_a_model_of_before_is_that_of_its_weights(storage: MemoryStorage) -> None:
    put_model(storage, "m")
    key = f"models/m/{DESCRIPTION}"
    digest = json.loads(storage.read(key))["weights_sha256"]
    told = {name: value for name, value in json.loads(storage.read(key)).items() if name != "weights_sha256"}
    storage.write(key, json.dumps(told).encode())
    assert model_digest(storage, "m") == digest


@pytest.mark.parametrize("read", [load_description, model_digest])
def test_a_model_that_is_missing_or_broken_is_refused_as_where_it_is_loaded(
    storage: MemoryStorage, read: Callable[[Storage, str], object]
) -> None:
    with pytest.raises(NotFoundError, match=r"^model gone: not in memory://store; there are: none$"):
        read(storage, "gone")
    put_model(storage, "m")
    with pytest.raises(NotFoundError, match=r"^model gone: not in memory://store; there are: m$"):
        read(storage, "gone")
    storage.write(f"models/m/{DESCRIPTION}", b"\x00broken")
    with pytest.raises(DataError, match=r"^model m: not a readable model "):
        read(storage, "m")
