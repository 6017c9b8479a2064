"""The resumable checkpoint (all state, torch.save of tensors) and the EMA snapshot (safetensors)."""

import io
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.networks.generator import UNet
from anomaly_gan.train_state import TrainState
from infra.errors import DataError

SCHEMA_VERSION = 1


def checkpoint_bytes(state: TrainState) -> bytes:
    """All that a run needs to go on as if it had never stopped; the data's position is the step."""
    stream = io.BytesIO()
    torch.save(
        {
            "schema_version": SCHEMA_VERSION,
            "step": state.step,
            "generators": state.generators.state_dict(),
            "discriminators": state.discriminators.state_dict(),
            "aware": state.aware.state_dict(),
            "g_ema": state.g_ema.state_dict(),
            "optim_g": state.optim_g.state_dict(),
            "optim_d": state.optim_d.state_dict(),
        },
        stream,
    )
    return stream.getvalue()


def restore(state: TrainState, data: bytes, name: str) -> None:
    """Put a checkpoint's values into `state`.

    Raises:
        DataError: the bytes are no checkpoint of this schema, or belong to other networks.
    """
    try:
        saved: dict[str, Any] = torch.load(io.BytesIO(data), map_location=state.device, weights_only=True)
        if saved["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{name}: checkpoint schema {saved['schema_version']}, expected {SCHEMA_VERSION}")
        for part in ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d"):
            getattr(state, part).load_state_dict(saved[part])
        state.step = saved["step"]
    except DataError:
        raise
    except Exception as err:  # torch.load raises many kinds on broken input
        raise DataError(f"{name}: not a checkpoint of this run ({_first_line(err)})") from err


@dataclass(frozen=True)
class Snapshot:
    """A generator to use, and how it was made.

    Attributes:
        generator: norm2abnl with averaged weights, in evaluation mode.
        class_name: what it makes.
        view: what it was trained on.
        config: the run's.
        record: dataset, job, nimg, aware weights and whatever else belongs to its history.
    """

    generator: UNet
    class_name: str
    view: ViewConfig
    config: TrainConfig
    record: dict[str, Any]


def snapshot_bytes(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """(generator.safetensors, model.json)."""
    description = {
        "schema_version": SCHEMA_VERSION,
        "class_name": snapshot.class_name,
        "view": snapshot.view.model_dump(mode="json"),
        "train": snapshot.config.model_dump(mode="json"),
        "record": snapshot.record,
    }
    weights = {name: tensor.contiguous().cpu() for name, tensor in snapshot.generator.state_dict().items()}
    return save_safetensors(weights), json.dumps(description, indent=2, sort_keys=True).encode()


def load_snapshot(weights: bytes, description: bytes, name: str, device: torch.device) -> Snapshot:
    """Inverse of `snapshot_bytes`.

    Raises:
        DataError: either part is broken or they do not belong together.
    """
    try:
        told = json.loads(description)
        if told["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{name}: model schema {told['schema_version']}, expected {SCHEMA_VERSION}")
        config = TrainConfig.model_validate(told["train"])
        generator = UNet(config.model)
        generator.load_state_dict(load_safetensors(weights))
        view = ViewConfig.model_validate(told["view"])
        frozen = generator.to(device).eval().requires_grad_(False)
        return Snapshot(frozen, told["class_name"], view, config, told["record"])
    except DataError:
        raise
    except Exception as err:  # json, pydantic, safetensors and torch each raise their own
        raise DataError(f"{name}: not a readable model ({_first_line(err)})") from err


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)
