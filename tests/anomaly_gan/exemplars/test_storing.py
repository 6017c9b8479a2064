"""Exemplars in one file with weights: each comes back as it was."""

import numpy as np
import pytest
import torch

from anomaly_gan.exemplars.exemplar import Exemplar
from anomaly_gan.exemplars.storing import exemplar_tensors, split_exemplars
from infra.errors import DataError


def exemplars(count: int) -> list[Exemplar]:
    """Grey and colour ones in turn, of several sizes."""
    found = []
    for number in range(count):
        rng, shape = np.random.default_rng(number), (9 + number % 5, 14)
        image = rng.integers(0, 256, (*shape, 3) if number % 2 else shape, np.uint8)
        found.append(Exemplar(f"bild-{number}-ä", image, rng.integers(0, 2, shape, np.uint8)))
    return found


@pytest.mark.parametrize("count", [0, 1, 12])
def test_exemplars_come_back_in_order_and_weights_are_left_alone(count: int) -> None:
    wanted, weights = exemplars(count), {"downs.0.weight": torch.randn(3, 4), "exemplars_of": torch.zeros(1)}
    found, left = split_exemplars(weights | exemplar_tensors(wanted))
    assert left.keys() == weights.keys() and all(left[name] is weights[name] for name in weights)
    assert len(found) == count
    for one, other in zip(found, wanted, strict=True):
        assert one.source == other.source
        assert np.array_equal(one.image, other.image) and one.image.dtype == np.uint8
        assert np.array_equal(one.mask, other.mask)


def test_the_tensors_are_bytes_of_one_axis() -> None:
    tensors = exemplar_tensors(exemplars(2))
    assert len(tensors) == 6
    assert all(tensor.dtype == torch.uint8 and tensor.ndim == 1 for tensor in tensors.values())


def test_what_is_no_exemplar_is_refused() -> None:
    tensors = exemplar_tensors(exemplars(1))
    broken = dict(tensors)
    [image] = [name for name in tensors if name.endswith("image")]
    broken[image] = torch.zeros(40, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"^exemplar 0000: not a PNG"):
        split_exemplars(broken)
    del broken[image]
    with pytest.raises(KeyError, match="image"):
        split_exemplars(broken)
