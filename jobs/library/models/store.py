"""Trained models in the store: publish, import and load them; visible once model.json is there."""

import json
import re
from pathlib import PurePosixPath

import torch
from pydantic import ValidationError

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.generation.snapshot import Snapshot, load_snapshot, snapshot_bytes
from anomaly_gan.networks.released import RELEASED, load_released
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from infra.storage.sources import read_file
from jobs.library.datasets.store import load_index
from jobs.library.models.files import ModelEntry, list_models, read_model_file
from jobs.record.status import job_key

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNKNOWN = "unknown"
"""What the record of a model says of its training where it was trained elsewhere."""


def publish_model(storage: Storage, job_id: str) -> None:
    """Make a training job's model visible under the job's id."""
    for name in (WEIGHTS, DESCRIPTION):
        storage.write(f"models/{job_id}/{name}", storage.read(job_key(job_id, f"out/model/{name}")))


def import_release(
    storage: Storage, file: str, settings: Settings, *, model_id: str, class_name: str, dataset: str, size: int
) -> ModelEntry:
    """Make a generator of the authors' release visible as model `model_id`.

    Args:
        storage: where to.
        file: path or URL of a state dict; see `load_released`.
        settings: how to reach a file in S3.
        model_id: letters, digits, '.', '_' and '-'.
        class_name: what the generator makes, a class of the data set.
        dataset: NAME or NAME@version; generation takes its normal images and masks.
        size: side of its whole frames in px.

    Raises:
        UsageError: a bad argument, or a model of this id is there.
        NotFoundError: no such file or data set.
        DataError: the file holds anything else.
    """
    _check_new(storage, model_id)
    index = load_index(storage, dataset)
    if class_name not in index.classes:
        raise UsageError(
            f"--class-name: {class_name!r} is not in data set {index.name}; it has {', '.join(index.classes)}"
        )
    view = _whole_view(index, size)
    data = read_file(file, settings)
    record = {
        "source": PurePosixPath(file).name,
        "sha256": sha256(data),
        "dataset": f"{index.name}@{index.version}",
        **dict.fromkeys(("job_id", "nimg", "world_size", "normal_images", "abnormal_images", "aware_weights"), UNKNOWN),
    }
    snapshot = Snapshot(load_released(data, file), class_name, view, TrainConfig(model=RELEASED), record)
    weights, description = snapshot_bytes(snapshot)
    storage.write(f"models/{model_id}/{WEIGHTS}", weights)
    storage.write(f"models/{model_id}/{DESCRIPTION}", description)
    return ModelEntry(model_id, description)


def _check_new(storage: Storage, model_id: str) -> None:
    if not ID.fullmatch(model_id):
        raise UsageError(f"--id: letters, digits, '.', '_' and '-' only, got {model_id!r}; choose another id")
    if storage.exists(f"models/{model_id}/{DESCRIPTION}"):
        raise UsageError(f"--id: model {model_id} is in {storage.uri} already; choose another id")


def _whole_view(index: DatasetIndex, size: int) -> ViewConfig:
    try:
        view = ViewConfig(size=size)
    except ValidationError as err:
        raise UsageError(f"--size: a power of two from 64 to 1024, got {size}; the released size is 512") from err
    if index.resolution != size:
        found = "native sizes" if index.resolution is None else f"{index.resolution} px"
        raise UsageError(
            f"--size: {size} px, but data set {index.name} has {found}; name one imported with --resolution {size}"
        )
    return view


def newest_model(storage: Storage, class_name: str, dataset: str | None) -> str:
    """Id of the newest model that a training of this class has made.

    Args:
        dataset: NAME or NAME@version that it was trained on; None = any.

    Raises:
        NotFoundError: there is none.
    """
    wanted = "" if dataset is None else dataset
    found = [
        entry.model_id
        for entry in list_models(storage)
        if (description := json.loads(entry.description))["class_name"] == class_name
        and description["record"]["job_id"] == entry.model_id
        and wanted in ("", description["record"]["dataset"], description["record"]["dataset"].partition("@")[0])
    ]
    if not found:
        where = "" if dataset is None else f" trained on {dataset}"
        raise NotFoundError(
            f"class {class_name}: no model{where} makes it; see `agan models list`, or name one with --model"
        )
    return max(found)


def load_model(storage: Storage, model_id: str, device: torch.device) -> Snapshot:
    """A model, ready to generate.

    Raises:
        NotFoundError: no such model; the message lists those that are there.
        DataError: it is broken.
    """
    weights, description = (read_model_file(storage, model_id, name) for name in (WEIGHTS, DESCRIPTION))
    return load_snapshot(weights, description, f"model {model_id}", device)
