"""Where the aware network's weights come from: the data set (cached with it), a file, or chance."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from anomaly_gan.config import AwareConfig, CropConfig
from anomaly_gan.gan.aware_training import AwareTraining, random_aware, train_aware
from anomaly_gan.networks.aware import AwareNetwork, load_vgg16
from anomaly_gan.training.batches import BatchSource
from infra.errors import DataError, NotFoundError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from infra.storage.sources import read_file


def aware_network(
    config: AwareConfig,
    crops: CropConfig,
    source: BatchSource,
    device: torch.device,
    settings: Settings | None = None,
) -> tuple[AwareNetwork, str]:
    """The frozen network, and what the run's record says of its weights.

    Args:
        settings: how to reach a weights file in S3.

    Raises:
        NotFoundError, DataError: the named file is missing or is no VGG-16 state dict.
    """
    if config.weights == "random":
        return random_aware(source.seed).frozen(), "random"
    if config.weights == "dataset":
        trained = train_aware(source, crops, config.steps, device)
        return trained.network, f"dataset: {config.steps} steps, {_accuracy(trained)}"
    data = _read(config.weights, settings or Settings())
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as err:  # torch.load raises many kinds on broken input
        raise DataError(f"{config.weights}: not a state dict ({str(err).splitlines()[0]})") from err
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{config.weights}: not a state dict, but {type(state).__name__}; use torchvision's VGG-16")
    return load_vgg16(state, config.weights), f"{config.weights} sha256 {sha256(data)}"


def cached_aware(
    storage: Storage,
    dataset: str,
    version: str,
    key: dict[str, object],
    make: Callable[[], tuple[AwareNetwork, str]],
) -> tuple[AwareNetwork, str]:
    """What `make` returns, kept with the data set under everything that decides it."""
    digest = sha256(json.dumps({**key, "version": version}, sort_keys=True).encode())[:16]
    base = f"datasets/{dataset}/aware/{digest}"
    if storage.exists(f"{base}.json"):
        try:
            state = load_safetensors(storage.read(f"{base}.safetensors"))
            weights = str(json.loads(storage.read(f"{base}.json"))["weights"])
        except (SafetensorError, ValueError, KeyError, NotFoundError) as err:
            raise DataError(f"{storage.url(base)}: not the aware network that was kept; remove {base}.json") from err
        return load_vgg16(state, base), weights
    network, weights = make()
    storage.write(f"{base}.safetensors", save_safetensors(network.cpu().state_dict()))
    storage.write(f"{base}.json", json.dumps({**key, "weights": weights}, indent=1).encode())
    return network, weights


def _accuracy(trained: AwareTraining) -> str:
    if trained.held_out_accuracy is None:
        return f"held-out accuracy not measured: {trained.not_measured}"
    return f"held-out accuracy {trained.held_out_accuracy:.2f} of {trained.held_out_crops} crops"


def _read(url: str, settings: Settings) -> bytes:
    try:
        return read_file(url, settings)
    except NotFoundError as err:
        raise NotFoundError(
            f"train.aware.weights: {Path(url).name} is not at {url}; put torchvision's VGG-16 state dict there,"
            " or use `dataset`"
        ) from err
