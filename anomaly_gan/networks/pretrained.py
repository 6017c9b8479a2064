"""Weights of pretrained networks, read from files of a weights folder; nothing is ever downloaded."""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

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
