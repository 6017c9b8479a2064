"""Trained models in the store: visible once model.json is there.

models/<id>/generator.safetensors   norm2abnl, averaged weights
models/<id>/model.json              class, view, config and history; written last
"""

from dataclasses import dataclass

import torch

from anomaly_gan.checkpoint import Snapshot, load_snapshot
from infra.errors import NotFoundError
from infra.storage import Storage
from jobs.record import job_key

WEIGHTS = "generator.safetensors"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class ModelEntry:
    model_id: str
    description: bytes


def publish_model(storage: Storage, job_id: str) -> None:
    """Make a training job's model visible under the job's id."""
    for name in (WEIGHTS, DESCRIPTION):
        storage.write(f"models/{job_id}/{name}", storage.read(job_key(job_id, f"out/model/{name}")))


def list_models(storage: Storage) -> list[ModelEntry]:
    """All visible models, by id."""
    keys = [entry.key for entry in storage.list("models/") if entry.key.endswith(f"/{DESCRIPTION}")]
    return [ModelEntry(key.split("/")[1], storage.read(key)) for key in keys]


def load_model(storage: Storage, model_id: str, device: torch.device) -> Snapshot:
    """A model, ready to generate.

    Raises:
        NotFoundError: no such model; the message lists those that are there.
        DataError: it is broken.
    """
    try:
        weights = storage.read(f"models/{model_id}/{WEIGHTS}")
        description = storage.read(f"models/{model_id}/{DESCRIPTION}")
    except NotFoundError as err:
        known = ", ".join(entry.model_id for entry in list_models(storage)) or "none"
        raise NotFoundError(f"model {model_id}: not in {storage.uri}; there are: {known}") from err
    return load_snapshot(weights, description, f"model {model_id}", device)
