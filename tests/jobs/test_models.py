import json

import pytest
import torch

from infra.errors import DataError, NotFoundError, UsageError
from jobs.models import list_models, load_model, publish_model
from tests.builders_jobs import TRAIN_JOB, put_model
from tests.helpers import MemoryStorage

CPU = torch.device("cpu")


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_a_model_loads_with_its_history_ready_to_generate(storage: MemoryStorage) -> None:
    snapshot = load_model(storage, put_model(storage), CPU)
    assert (snapshot.class_name, snapshot.view.size) == ("crack", 64)
    assert snapshot.record == {"job_id": TRAIN_JOB, "dataset": "tiles", "nimg": 640}
    assert not snapshot.generator.training
    assert not any(parameter.requires_grad for parameter in snapshot.generator.parameters())


def test_publishing_makes_a_jobs_model_visible_under_its_id(storage: MemoryStorage) -> None:
    put_model(storage, "made")
    for name in ("generator.safetensors", "model.json"):
        storage.write(f"jobs/{TRAIN_JOB}/out/model/{name}", storage.read(f"models/made/{name}"))
    publish_model(storage, TRAIN_JOB)
    assert list(storage.objects)[-1] == f"models/{TRAIN_JOB}/model.json"
    assert load_model(storage, TRAIN_JOB, CPU).class_name == "crack"


def test_only_whole_models_are_listed(storage: MemoryStorage) -> None:
    assert list_models(storage) == []
    put_model(storage, "b")
    put_model(storage, "a")
    storage.write("models/half/generator.safetensors", b"")
    assert [entry.model_id for entry in list_models(storage)] == ["a", "b"]
    assert json.loads(list_models(storage)[0].description)["class_name"] == "crack"


@pytest.mark.parametrize("model_id", ["gone", "half"])
def test_a_model_that_is_not_there_is_not_found_with_those_that_are(storage: MemoryStorage, model_id: str) -> None:
    with pytest.raises(NotFoundError, match=f"model {model_id}: not in memory://store; there are: none"):
        load_model(storage, model_id, CPU)
    put_model(storage, "b")
    put_model(storage, "a")
    storage.write("models/half/generator.safetensors", b"")
    with pytest.raises(NotFoundError, match=f"model {model_id}: not in memory://store; there are: a, b"):
        load_model(storage, model_id, CPU)


def test_an_id_that_would_leave_the_store_is_refused(storage: MemoryStorage) -> None:
    with pytest.raises(UsageError):
        load_model(storage, "../jobs/x", CPU)


@pytest.mark.parametrize("name", ["generator.safetensors", "model.json"])
@pytest.mark.parametrize("data", [b"", b"\x00broken", b"{}"])
def test_a_broken_model_is_named(storage: MemoryStorage, name: str, data: bytes) -> None:
    put_model(storage, "m")
    storage.write(f"models/m/{name}", data)
    with pytest.raises(DataError, match="model m: not a readable model"):
        load_model(storage, "m", CPU)
