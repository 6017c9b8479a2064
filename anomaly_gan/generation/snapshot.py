"""A trained generator to use: its weights (safetensors), beside the description of how it was made (JSON)."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.exemplars.storing import exemplar_tensors, split_exemplars
from anomaly_gan.generation.description import ModelDescription, parse_description
from anomaly_gan.networks.generator import Generator, make_generator
from anomaly_gan.networks.pretrained import first_line
from infra.errors import DataError


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
    weights = save_safetensors(tensors | exemplar_tensors(snapshot.generator.exemplars))
    digest = hashlib.sha256(weights).hexdigest()
    described = ModelDescription(snapshot.class_name, snapshot.view, snapshot.config, snapshot.record, digest)
    return weights, described.to_bytes()


def load_snapshot(weights: bytes, description: bytes, name: str, device: torch.device) -> Snapshot:
    """Inverse of `snapshot_bytes`.

    Raises:
        DataError: either part is broken or they do not belong together.
    """
    described = parse_description(description, name)
    digest = hashlib.sha256(weights).hexdigest()
    if described.weights_sha256 not in (None, digest):  # models of before name none
        raise DataError(
            f"{name}: not a readable model (the weights' sha256 is not that of the description);"
            " train or import it again"
        )
    try:
        generator = make_generator(described.config.model)
        generator.exemplars, tensors = split_exemplars(load_safetensors(weights))
        generator.load_state_dict(tensors)
    except Exception as err:  # safetensors and torch each raise their own
        raise DataError(f"{name}: not a readable model ({first_line(err)})") from err
    frozen = generator.to(device).eval().requires_grad_(False)
    return Snapshot(frozen, described.class_name, described.view, described.config, described.record, digest)
