"""LPIPS (Zhang et al. 2018) of whole images, with AlexNet weights from a file.

`lpips_real` is the paper's use: generated against real images, lower is closer. `ic_lpips` is the literature's:
among the generated images, higher is more diverse.
"""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lpips
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomaly_gan.networks.pretrained import pick, read_state
from anomaly_gan.networks.weights import WEIGHTS, file_digest
from anomaly_gan.samples.sample import to_planes
from anomaly_gan.samples.tensors import to_model_range
from infra.errors import DataError

WEIGHTS_FILE = WEIGHTS["alexnet"].file
"""torchvision's AlexNet state dict; only its features.* are read."""

MIN_SIDE_PX = 32
"""Below it AlexNet's last feature map would be empty."""

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Unavailable:
    """A measure that cannot be taken, and why, in words for the report."""

    reason: str


@dataclass(frozen=True)
class LpipsModel:
    """The network and the name that goes with each of its scores."""

    network: nn.Module
    name: str
    device: torch.device


@dataclass(frozen=True)
class LpipsScore:
    """A mean LPIPS distance and its evidence.

    Attributes:
        measure: `lpips_real` (lower is better) or `ic_lpips` (higher is better).
        value: mean distance, 0 = equal; None where there is no pair.
        pairs: number of image pairs the mean is over.
        generated: number of generated images the pairs were drawn from.
        real: number of real images, 0 for `ic_lpips`.
        network: feature network, with the first 8 digits of its file's SHA-256.
    """

    measure: str
    value: float | None
    pairs: int
    generated: int
    real: int
    network: str


def load_lpips(weights_folder: Path | None, device: str = "cpu") -> LpipsModel | Unavailable:
    """LPIPS 0.1 on AlexNet; its linear heads come with the `lpips` package, the backbone from `alexnet.pth`.

    Returns:
        The model, or why there is none: without a backbone file there is no score, never a random network.

    Raises:
        DataError: the file is there and is no AlexNet state dict.
    """
    if weights_folder is None:
        return Unavailable(f"LPIPS needs {WEIGHTS_FILE}, and no weights folder is set")
    path = weights_folder / WEIGHTS_FILE
    if not path.is_file():
        return Unavailable(f"LPIPS needs {path} (torchvision's AlexNet state dict), which does not exist")
    state = read_state(path)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # The package builds torchvision's AlexNet through an outdated keyword; pnet_rand stops its download.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    backbone = network.net.state_dict()
    # slice2.3.weight holds features.3.weight: the package keeps torchvision's numbers below its slices.
    names = {key: f"features.{key.split('.', 1)[1]}" for key in backbone}
    picked = pick(state, {names[key]: tensor for key, tensor in backbone.items()}, str(path))
    network.net.load_state_dict({key: picked[name] for key, name in names.items()})
    digest = file_digest(path)
    network.eval().requires_grad_(False).to(device)
    return LpipsModel(network, f"AlexNet {digest[:8]}", torch.device(device))


def lpips_real(
    model: LpipsModel, generated: Sequence[Image], real: Sequence[Image], *, seed: int, max_pairs: int = 200
) -> LpipsScore:
    """Mean distance of generated to real images over random pairs (paper, Sec. 5; the pairing is ours).

    Every pair where there are at most `max_pairs`, else that many drawn without repetition. Its floor is the
    distance of real to real images, not 0: the images of a pair show different places.

    Args:
        generated: [H, W] or [H, W, 3] uint8 each, at least 32 px a side.
        real: as `generated`, of the same size.
        seed: of the choice of pairs.

    Raises:
        DataError: two images differ in size or one is too small.
    """
    grid = len(generated) * len(real)
    chosen = _choose(grid, max_pairs, seed)
    pairs = [(generated[index // len(real)], real[index % len(real)]) for index in chosen]
    value = _mean_distance(model, pairs)
    return LpipsScore("lpips_real", value, len(pairs), len(generated), len(real), model.name)


def ic_lpips(model: LpipsModel, generated: Sequence[Image], *, seed: int, max_pairs: int = 200) -> LpipsScore:
    """Mean distance between two different generated images: their diversity.

    Pairs, arguments and errors as in `lpips_real`.
    """
    combinations = list(itertools.combinations(range(len(generated)), 2))
    chosen = _choose(len(combinations), max_pairs, seed)
    pairs = [(generated[first], generated[second]) for first, second in (combinations[index] for index in chosen)]
    value = _mean_distance(model, pairs)
    return LpipsScore("ic_lpips", value, len(pairs), len(generated), 0, model.name)


def _choose(available: int, most: int, seed: int) -> list[int]:
    if available <= most:
        return list(range(available))
    drawn = np.random.default_rng(seed).choice(available, most, replace=False)
    return [int(index) for index in drawn]


@torch.no_grad()
def _mean_distance(model: LpipsModel, pairs: Sequence[tuple[Image, Image]]) -> float | None:
    """One pair at a time: data sets of whole frames hold images of many sizes."""
    distances = []
    for first, second in pairs:
        if first.shape[:2] != second.shape[:2] or min(first.shape[:2]) < MIN_SIDE_PX:
            raise DataError(
                f"LPIPS compares images of one size, at least {MIN_SIDE_PX} px a side; "
                f"got {first.shape[:2]} and {second.shape[:2]}"
            )
        distances.append(float(model.network(_tensor(first, model), _tensor(second, model))))
    return float(np.mean(distances)) if distances else None


def _tensor(image: Image, model: LpipsModel) -> Tensor:
    return to_model_range(torch.from_numpy(to_planes(image))[None]).to(model.device)
