"""LPIPS (Zhang et al. 2018) and its shift-tolerant form (Ghildyal and Liu 2022): how different two pictures look.

The distance is a weighted squared difference of features that are normalised at each place, a mean over the places and
a sum over five stages. With the roots of the weights in the features it is the squared Euclidean distance of two
vectors, so that n pictures need n passes, and all their pairs a matrix product.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import lpips
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomaly_gan.networks.pretrained import pick, read_weights
from anomaly_gan.networks.shift_tolerant import CHANNELS, load_trunk
from anomaly_gan.networks.weights import WEIGHTS, weights_path
from anomaly_gan.samples.resizing import resize_image
from anomaly_gan.samples.sample import to_planes
from anomaly_gan.samples.tensors import to_model_range

SIDE_PX = 64
"""Side of the square that pictures are resized to: that of the patches whose differences people rated for the heads."""

BATCH = 16
SMALLEST_NORM = 1e-10
"""Is added to a norm before division, as in both packages."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Unavailable:
    """A measure that cannot be taken, and why, in words for the report."""

    reason: str


class PerceptualEmbedding(nn.Module):
    """[N, 3, H, W] float32 in [-1, 1] -> [N, D]; squared Euclidean distances of the rows are LPIPS.

    Args:
        trunk: gives the maps of the stages, [N, C, h, w] each.
        heads: weight of each channel, [1, C, 1, 1] for each stage, 0 or more.
        shift, scale: [1, 3, 1, 1]; the trunk sees (image - shift) / scale.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, trunk: Callable[[Tensor], Iterable[Tensor]], heads: Sequence[Tensor], shift: Tensor, scale: Tensor
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        for number, head in enumerate(heads):
            self.register_buffer(f"root{number}", head.clamp(min=0).sqrt())

    def forward(self, images: Tensor) -> Tensor:
        parts = []
        for number, stage in enumerate(self.trunk((images - self.shift) / self.scale)):
            unit = stage / (stage.norm(dim=1, keepdim=True) + SMALLEST_NORM)
            places = math.sqrt(stage.shape[2] * stage.shape[3])
            parts.append((unit * self.get_buffer(f"root{number}") / places).flatten(1))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class PerceptualNetwork:
    """A loaded network, and the name that goes with each of its scores."""

    module: nn.Module
    name: str
    device: torch.device

    @torch.inference_mode()
    def of(self, pictures: Iterable[NDArray[np.uint8]]) -> Vectors:
        """[N, D] float32 for at least one picture [H, W] or [H, W, 3] uint8 of any size; see `distances`."""
        planes = (to_planes(resize_image(picture, SIDE_PX)) for picture in pictures)
        found = [
            self.module(to_model_range(torch.from_numpy(np.stack(batch)).to(self.device))).cpu()
            for batch in iter(lambda: list(islice(planes, BATCH)), [])
        ]
        vectors: Vectors = torch.cat(found).numpy()
        return vectors


def distances(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """[M, D] and [N, D] -> [M, N], the perceptual distance of every pair, 0 = they look the same."""
    squares = [np.einsum("nd,nd->n", each, each, dtype=np.float64) for each in (first, second)]
    found: NDArray[np.float64] = squares[0][:, None] + squares[1] - 2 * (first @ second.T)
    return found.clip(min=0)


def load_shift_tolerant(device: str = "cpu") -> PerceptualNetwork:
    """The shift-tolerant distance, trunk and heads from the file that package stlpips-pytorch ships; none of its code.

    Raises:
        NotFoundError: the package is not installed.
        DataError: the file is not the one that it ships.
    """
    weights = read_weights("shift_tolerant", None)
    heads = {f"lin{i}.model.1.weight": torch.empty(1, channels, 1, 1) for i, channels in enumerate(CHANNELS)}
    scaling = {f"scaling_layer.{key}": torch.empty(1, 3, 1, 1) for key in ("shift", "scale")}
    picked = pick(weights.state, {**heads, **scaling}, str(weights.path))
    module = PerceptualEmbedding(
        load_trunk(weights.state, str(weights.path)),
        [picked[key] for key in heads],
        *(picked[key] for key in scaling),
    )
    return _ready(module, f"shift-tolerant AlexNet {weights.sha256[:8]}", device)


def load_lpips(weights_folder: Path | None, device: str = "cpu") -> PerceptualNetwork | Unavailable:
    """LPIPS 0.1 on AlexNet; its linear heads come with the `lpips` package, the trunk from `alexnet.pth`.

    Returns:
        The network, or why there is none: without the trunk's file there is no score, never a random network.

    Raises:
        DataError: the file is there and is no AlexNet state dict.
    """
    file = WEIGHTS["alexnet"].file
    if weights_folder is None:
        return Unavailable(f"LPIPS needs {file}, and no weights folder is set")
    path = weights_path("alexnet", weights_folder)
    if not path.is_file():
        return Unavailable(f"LPIPS needs {path} (torchvision's AlexNet state dict), which does not exist")
    weights = read_weights("alexnet", weights_folder)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The package builds torchvision's AlexNet through an outdated keyword; pnet_rand stops its download.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    trunk = network.net.state_dict()
    # slice2.3.weight holds features.3.weight: the package keeps torchvision's numbers below its slices.
    names = {key: f"features.{key.split('.', 1)[1]}" for key in trunk}
    picked = pick(weights.state, {names[key]: tensor for key, tensor in trunk.items()}, str(path))
    network.net.load_state_dict({key: picked[name] for key, name in names.items()})
    scaling = network.scaling_layer
    heads = [lin.model[-1].weight for lin in network.lins]
    module = PerceptualEmbedding(network.net, heads, scaling.shift, scaling.scale)
    return _ready(module, f"AlexNet {weights.sha256[:8]}", device)


def _ready(module: nn.Module, name: str, device: str) -> PerceptualNetwork:
    return PerceptualNetwork(module.eval().requires_grad_(False).to(device), name, torch.device(device))
