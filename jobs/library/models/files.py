"""The models of the store by their descriptions, for those who do without torch and without weights.

models/<id>/generator.safetensors   norm2abnl, averaged weights
models/<id>/model.json              class, view, config and history; written last
"""

from dataclasses import dataclass

from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS, ModelDescription, parse_description
from infra.errors import NotFoundError
from infra.storage.digest import sha256
from infra.storage.protocol import Storage


@dataclass(frozen=True)
class ModelEntry:
    model_id: str
    description: bytes


def list_models(storage: Storage) -> list[ModelEntry]:
    """All visible models, by id."""
    keys = [entry.key for entry in storage.list("models/") if entry.key.endswith(f"/{DESCRIPTION}")]
    return [ModelEntry(key.split("/")[1], storage.read(key)) for key in keys]


def read_model_file(storage: Storage, model_id: str, name: str) -> bytes:
    """The content of WEIGHTS or DESCRIPTION.

    Raises:
        NotFoundError: no such model; the message lists those that are there.
    """
    try:
        return storage.read(f"models/{model_id}/{name}")
    except NotFoundError as err:
        known = ", ".join(entry.model_id for entry in list_models(storage)) or "none"
        raise NotFoundError(f"model {model_id}: not in {storage.uri}; there are: {known}") from err


def load_description(storage: Storage, model_id: str) -> ModelDescription:
    """What a model says of itself; its weights are not touched.

    Raises:
        NotFoundError: no such model; the message lists those that are there.
        DataError: its description is broken.
    """
    return parse_description(read_model_file(storage, model_id, DESCRIPTION), f"model {model_id}")


def model_digest(storage: Storage, model_id: str) -> str:
    """SHA-256 of a model's weights, as its description has it; `load_model` holds the weights against it.

    Raises:
        NotFoundError, DataError: as `load_description`.
    """
    recorded = load_description(storage, model_id).weights_sha256
    if recorded is None:  # a model of before
        return sha256(read_model_file(storage, model_id, WEIGHTS))
    return recorded
