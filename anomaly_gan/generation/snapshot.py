"""A trained generator to use: its weights (safetensors) and the description of how it was made (JSON)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.networks.generator import Generator, make_generator
from anomaly_gan.networks.pretrained import first_line
from infra.errors import DataError

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Snapshot:
    """A generator to use, and how it was made.

    Attributes:
        generator: norm2abnl with averaged weights, in evaluation mode.
        class_name: what it makes.
        view: what it was trained on.
        config: the run's.
        record: dataset, job, nimg, aware weights and whatever else belongs to its history.
        weights_sha256: of the bytes that it was loaded from; None = it was not loaded.
    """

    generator: Generator
    class_name: str
    view: ViewConfig
    config: TrainConfig
    record: dict[str, Any]
    weights_sha256: str | None = None


def snapshot_bytes(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """(generator.safetensors, model.json)."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in snapshot.generator.state_dict().items()}
    weights = save_safetensors(tensors)
    description = {
        "schema_version": SCHEMA_VERSION,
        "class_name": snapshot.class_name,
        "view": snapshot.view.model_dump(mode="json"),
        "train": snapshot.config.model_dump(mode="json"),
        "record": snapshot.record,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    return weights, json.dumps(description, indent=2, sort_keys=True).encode()


def load_snapshot(weights: bytes, description: bytes, name: str, device: torch.device) -> Snapshot:
    """Inverse of `snapshot_bytes`.

    Raises:
        DataError: either part is broken or they do not belong together.
    """
    digest = hashlib.sha256(weights).hexdigest()
    try:
        told = json.loads(description)
        if told["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{name}: model schema {told['schema_version']}, expected {SCHEMA_VERSION}")
        if told.get("weights_sha256", digest) != digest:  # models of before have none
            told_by = "the weights' sha256 is not that of the description"
            raise DataError(f"{name}: not a readable model ({told_by}); train or import it again")
        config = TrainConfig.model_validate(told["train"])
        generator = make_generator(config.model)
        generator.load_state_dict(load_safetensors(weights))
        view = ViewConfig.model_validate(told["view"])
        frozen = generator.to(device).eval().requires_grad_(False)
        return Snapshot(frozen, told["class_name"], view, config, told["record"], digest)
    except DataError:
        raise
    except Exception as err:  # json, pydantic, safetensors and torch each raise their own
        raise DataError(f"{name}: not a readable model ({first_line(err)})") from err
