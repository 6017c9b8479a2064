"""Features of pictures by a network of the list `FEATURES`, and the name that goes with every score of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomaly_gan.metrics.features.features import find_features
from anomaly_gan.networks.pretrained import read_weights
from anomaly_gan.records import Record
from anomaly_gan.samples.resizing import resize_image
from anomaly_gan.samples.sample import to_planes
from infra.errors import DataError

CPU_BATCH = 8
"""Pictures a forward pass: what one core's cache likes best."""
ACCELERATOR_BATCH = 128


class FeatureSource(Record):
    """What made features: scores of different sources say nothing beside each other.

    Attributes:
        network: its name in `FEATURES`.
        sha256: of its file of weights, 64 hexadecimal digits.
        input: what is done to a picture before the network sees it.
    """

    network: str
    sha256: str
    input: str


@dataclass(frozen=True)
class Features:
    """Pictures as a network sees them.

    Attributes:
        values: [N, K] float64, a row per picture, in their order.
        source: what made them.
    """

    values: NDArray[np.float64]
    source: FeatureSource

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, chosen: Sequence[int] | NDArray[np.intp]) -> "Features":
        """Those of some of the pictures, in the order of `chosen`."""
        return Features(self.values[np.asarray(chosen, np.intp)], self.source)


@dataclass(frozen=True)
class FeatureNetwork:
    """A loaded network of `FEATURES`."""

    source: FeatureSource
    side_px: int
    zero_level: float
    levels_per_unit: float
    module: nn.Module
    device: torch.device

    def of(self, pictures: Iterable[NDArray[np.uint8]]) -> Features:
        """The features of pictures, which may be read as they are asked for.

        Args:
            pictures: [H, W] grey or [H, W, 3] RGB, uint8 0..255 each, of any size; at least one.

        Raises:
            DataError: there is no picture, or one is of another shape or kind.
        """
        size = CPU_BATCH if self.device.type == "cpu" else ACCELERATOR_BATCH
        planes = map(self._planes, pictures)
        # Results stay on the device, so that it works on a batch while the next one is being read.
        found = [self._forward(batch) for batch in iter(lambda: list(islice(planes, size)), [])]
        if not found:
            raise DataError("features: there is no picture to take them of")
        return Features(torch.cat(found).double().cpu().numpy(), self.source)

    def _planes(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[3, side, side] uint8."""
        if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,)):
            raise DataError(
                f"features: expected pictures [H, W] or [H, W, 3] of uint8, got {picture.dtype} of {picture.shape}"
            )
        return to_planes(resize_image(picture, self.side_px))

    @torch.inference_mode()
    def _forward(self, planes: Sequence[NDArray[np.uint8]]) -> Tensor:
        levels = torch.from_numpy(np.stack(planes)).to(self.device).contiguous(memory_format=torch.channels_last)
        features: Tensor = self.module((levels.float() - self.zero_level) / self.levels_per_unit)
        return features


def load_features(
    name: str, weights_folder: Path | None = None, *, device: str = "cpu", side_px: int | None = None
) -> FeatureNetwork:
    """A network of `FEATURES` with its weights.

    Args:
        name: `lite0`, which needs no weights folder, or another one of `FEATURES`.
        weights_folder: where its file is.
        device: as torch names it.
        side_px: side of the square that pictures are resized to; None = the one that the network was trained on. A
            smaller one is faster, and another source.

    Raises:
        UsageError: there is no such network.
        NotFoundError: its file, the package that brings it, or the weights folder is missing.
        DataError: the file holds another network, or is not the one that its package ships.
    """
    entry = find_features(name)
    weights = read_weights(entry.weights, weights_folder)
    module: nn.Module = resolve_name(entry.builder)(weights.state, str(weights.path))
    side = side_px or entry.side_px
    return FeatureNetwork(
        source=FeatureSource(
            network=name, sha256=weights.sha256, input=_input(side, entry.zero_level, entry.levels_per_unit)
        ),
        side_px=side,
        zero_level=entry.zero_level,
        levels_per_unit=entry.levels_per_unit,
        module=module.to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks it
        device=torch.device(device),
    )


def _input(side_px: int, zero_level: float, levels_per_unit: float) -> str:
    return (
        f"{side_px} x {side_px} px (area mean to shrink, bilinear to enlarge), grey repeated, "
        f"(level - {zero_level:g}) / {levels_per_unit:g}"
    )
