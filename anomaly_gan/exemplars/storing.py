"""Exemplars as tensors, so that they are kept in one file with the weights of the generator that needs them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from anomaly_gan.exemplars.exemplar import Exemplar
from anomaly_gan.samples.sample import decode_png, encode_png

PREFIX = "exemplars"
"""Beginning of their names; no weight of a generator is called so."""


def exemplar_tensors(exemplars: Sequence[Exemplar]) -> dict[str, Tensor]:
    """Each exemplar's key, image and mask as bytes, the last two as PNG: uint8 tensors of one axis."""
    tensors: dict[str, Tensor] = {}
    for number, one in enumerate(exemplars):
        parts = {"source": one.source.encode(), "image": encode_png(one.image), "mask": encode_png(one.mask)}
        for name, data in parts.items():
            tensors[f"{PREFIX}.{number:04d}.{name}"] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return tensors


def split_exemplars(tensors: Mapping[str, Tensor]) -> tuple[tuple[Exemplar, ...], dict[str, Tensor]]:
    """The exemplars among tensors of a file, and the others, which are weights.

    Raises:
        KeyError, DataError: an exemplar misses a part, or one is no PNG.
    """
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{PREFIX}.")}
    numbers = sorted({name.split(".")[1] for name in tensors.keys() - weights.keys()})

    def data(number: str, part: str) -> bytes:
        return bytes(tensors[f"{PREFIX}.{number}.{part}"].numpy().astype(np.uint8).tobytes())

    exemplars = tuple(
        Exemplar(
            data(number, "source").decode(),
            decode_png(data(number, "image"), f"exemplar {number}"),
            decode_png(data(number, "mask"), f"mask of exemplar {number}"),
        )
        for number in numbers
    )
    return exemplars, weights
