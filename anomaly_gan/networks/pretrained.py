"""Weights of pretrained networks, read from files of a weights folder; nothing is ever downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from anomaly_gan.networks.weights import WEIGHTS, file_digest, weights_path
from infra.errors import DataError, NotFoundError


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a torchvision weights file; tensors only, no code is run.

    Raises:
        NotFoundError: there is no such file.
        DataError: the file is no state dict.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such weights file; put torchvision's state dict there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as err:
        raise DataError(f"{path}: not a readable state dict ({type(err).__name__})") from err
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path}: expected a state dict (names and tensors), got {type(state).__name__}")
    return state


@dataclass(frozen=True)
class Weights:
    """What a file of `WEIGHTS` holds.

    Attributes:
        state: its state dict.
        sha256: of the file, 64 hexadecimal digits.
        path: where it is.
    """

    state: dict[str, Tensor]
    sha256: str
    path: Path


def read_weights(name: str, folder: Path | None) -> Weights:
    """A file of the list `WEIGHTS`; one that a package ships is compared with its SHA-256 before it is read.

    Raises:
        NotFoundError: the file, the package that brings it, or the weights folder is missing.
        DataError: the file is no state dict, or is not the one that its package ships.
    """
    path, entry = weights_path(name, folder), WEIGHTS[name]
    if entry.package is not None and path.is_file() and not entry.is_known(digest := file_digest(path)):
        raise DataError(f"{path}: is not the file that {entry.package} ships (sha256 {digest}); run make install")
    return Weights(read_state(path), file_digest(path), path)


def pick(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The entries of `state` that `wanted` names; what else `state` holds is left behind.

    Raises:
        DataError: an entry is missing or has another shape; the message begins with `name`.
    """
    for key, tensor in wanted.items():
        if key not in state:
            raise DataError(f"{name}: has no {key}; is it the weights file of another network?")
        if state[key].shape != tensor.shape:
            raise DataError(f"{name}: {key} has shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}")
    return {key: state[key] for key in wanted}


def first_line(err: Exception) -> str:
    """What an error of a library says of a file, in one line."""
    return next(iter(str(err).splitlines()), type(err).__name__)
