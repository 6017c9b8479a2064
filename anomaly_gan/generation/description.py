"""The two files of a model, and what it says of itself in its model.json; without torch, which the weights need."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anomaly_gan.config import TrainConfig, ViewConfig
from infra.errors import DataError

WEIGHTS = "generator.safetensors"
DESCRIPTION = "model.json"

SCHEMA_VERSION = 4
"""Number of the form of the description; another form needs another number."""

BEFORE_NOISE = 3
"""The form of models whose generators had no noise and no filling, and so no knobs for them."""
WITHOUT_NOISE = {"noise_planes": 0, "content": "image", "opacity_start": -2.0, "texture_critic": False}
"""What `config.model` says of them."""


@dataclass(frozen=True)
class ModelDescription:
    """How a generator was made, and what it is for.

    Attributes:
        class_name: what it makes.
        view: what it was trained on.
        config: the run's; `config.model` says how to build the generator.
        record: dataset, job, nimg, aware weights and whatever else belongs to its history.
        weights_sha256: of the weights that belong to it, hexadecimal; None = an older model, which names none.
    """

    class_name: str
    view: ViewConfig
    config: TrainConfig
    record: dict[str, Any]
    weights_sha256: str | None

    def to_bytes(self) -> bytes:
        """The content of model.json."""
        described = {
            "schema_version": SCHEMA_VERSION,
            "class_name": self.class_name,
            "view": self.view.model_dump(mode="json"),
            "train": self.config.model_dump(mode="json"),
            "record": self.record,
            "weights_sha256": self.weights_sha256,
        }
        return json.dumps(described, indent=2, sort_keys=True).encode()


def real_of(record: Mapping[str, Any]) -> int | None:
    """Number of anomalous pictures that a model was trained on; None = all of the training split, as it was before."""
    real: int | None = record.get("real")
    return real


MEASURED = {"anomaly_kid": "KID", "anomaly_unlikeness": "unlikeness"}
"""Measure that a model was chosen by -> its name in a sentence."""


def published_in_words(record: Mapping[str, Any]) -> str:
    """Which of a run's generators the model is, by which measure, or why the last one; of a model's record."""
    published = record.get("published")
    if published is None:  # a model of before, or one that was trained elsewhere
        return "unknown"
    told = f"step {published['step']} of {published['total_steps']}"
    if published["measure"] is not None:
        anomalies = f"{published['anomalies']} {published['compared_with']} anomalies"
        name = MEASURED.get(published["measure"], published["measure"])
        told += f", {name} {published['value']:.4f} ± {published['deviation']:.4f} to {anomalies}"
    return f"{told}; {published['reason']}"


def parse_description(data: bytes, name: str) -> ModelDescription:
    """Inverse of `ModelDescription.to_bytes`.

    Args:
        data: the content of model.json.
        name: what a person calls the model.

    Raises:
        DataError: it is no description of this schema.
    """
    try:
        described = json.loads(data)
        if described["schema_version"] == BEFORE_NOISE:
            described["train"]["model"] |= WITHOUT_NOISE
        elif described["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{name}: model schema {described['schema_version']}, expected {SCHEMA_VERSION}")
        return ModelDescription(
            described["class_name"],
            ViewConfig.model_validate(described["view"]),
            TrainConfig.model_validate(described["train"]),
            described["record"],
            described.get("weights_sha256"),
        )
    except DataError:
        raise
    except Exception as err:  # json, pydantic and a missing key each raise their own
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise DataError(f"{name}: not a readable model ({reason})") from err
