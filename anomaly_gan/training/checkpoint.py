"""The resumable checkpoint (all state, torch.save of tensors) and the EMA snapshot (safetensors)."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from anomaly_gan import ranks
from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.gan.state import TrainState
from anomaly_gan.networks.generator import Generator, make_generator
from anomaly_gan.training.image_pool import Histories
from infra.errors import DataError

SCHEMA_VERSION = 3


_PARTS = ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d")


def gather_image_pools(state: TrainState) -> dict[str, Histories]:
    """The image pools of all ranks, by domain, on the CPU; each rank must call it, and rank 0 alone gets them."""
    mine = {
        domain: {
            place: [(image.cpu(), parts.cpu()) for image, parts in pairs] for place, pairs in pool.histories.items()
        }
        for domain, pool in state.image_pools.items()
    }
    everyone = ranks.collect(mine)
    return {domain: {k: v for pools in everyone for k, v in pools[domain].items()} for domain in mine}


def save(state: TrainState, image_pools: dict[str, Histories], path: Path) -> None:
    """Write all that a run needs to go on as if it had never stopped, on as many ranks as then are there.

    The order of data, masks and augmentation is a function of seed and step, so no random state is kept.

    Args:
        image_pools: of all ranks.
    """
    saved = {part: getattr(state, part).state_dict() for part in _PARTS}
    torch.save({"schema_version": SCHEMA_VERSION, "step": state.step, "image_pools": image_pools} | saved, path)


def restore(state: TrainState, path: Path, name: str) -> None:
    """Put a checkpoint's values into `state`.

    Args:
        name: what a person calls the checkpoint.

    Raises:
        DataError: the file is no checkpoint of this schema, or belongs to other networks.
    """
    try:
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if saved["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"{name}: checkpoint schema {saved['schema_version']}, expected {SCHEMA_VERSION}")
        for part in _PARTS:
            getattr(state, part).load_state_dict(saved[part])
        for domain, pool in state.image_pools.items():
            pool.load(saved["image_pools"][domain], ranks.rank(), ranks.world_size(), state.device)
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
        raise DataError(f"{name}: not a readable model ({_first_line(err)})") from err


def _first_line(err: Exception) -> str:
    return next(iter(str(err).splitlines()), type(err).__name__)
