"""Small pictures, batches, networks and states, for tests of everything that trains or generates."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomaly_gan.config import GenerationConfig, MaskConfig, ModelConfig, TrainConfig, ViewConfig
from anomaly_gan.gan.method import AnomalyGan, build_anomaly_gan
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.generator import Generator, build_generator
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.batches import BatchSource

CLASS = "hole"
CPU = torch.device("cpu")
TINY_NETWORKS = {"generator_widths": (8, 16, 16), "width_mult": 0.125}
PAPER_NETWORKS = {
    "generator_norm": "batch",
    "discriminator_norm": "batch",
    "discriminator_input": "masked",
    "blend": False,
    "noise_planes": 0,
    "content": "image",
    "texture_critic": False,
    "gray": False,
}

PAPER_LOSS = {
    "adversarial": "paper",
    "lambda_cycle": 1.0,
    "cycle_inside": 1.0,
    "lambda_outside": 0.0,
    "aware_norm": "l2",
}
PRESETS: dict[str, dict[str, Any]] = {
    "stable": {},
    "paper": {"model": PAPER_NETWORKS, "loss": PAPER_LOSS, "crop": {"margin": 0}, "image_pool": 0},
}
"""What is particular to each preset, as changes of `train_config`."""


def picture(seed: int, shape: tuple[int, ...] = (64, 64)) -> NDArray[np.uint8]:
    """Grey or colour noise around the middle of the range."""
    return np.random.default_rng(seed).integers(90, 170, shape, dtype=np.uint8)


def normal_sample(number: int, shape: tuple[int, ...] = (64, 64)) -> Sample:
    return Sample(f"normal-{number:03d}", picture(number, shape), meta={"group": f"g{number}"})


def abnormal_sample(number: int, shape: tuple[int, ...] = (64, 64), top: int | None = None) -> Sample:
    """A dark hole of 9 x 12 px, at another place in each picture."""
    image, mask = picture(1000 + number, shape), np.zeros(shape[:2], np.uint8)
    row = (7 * number) % (shape[0] - 9) if top is None else top
    column = (11 * number) % (shape[1] - 12)
    mask[row : row + 9, column : column + 12] = 1
    image[mask == 1] //= 8
    return Sample(f"abnormal-{number:03d}", image, {CLASS: mask})


def batch_source(**changes: Any) -> BatchSource:
    """Five normal and three abnormal pictures of 64 x 64 px."""
    abnormals = changes.pop("abnormals", [abnormal_sample(i) for i in range(3)])
    wanted: dict[str, Any] = {
        "normals": [normal_sample(i) for i in range(5)],
        "abnormals": abnormals,
        "view": ViewConfig(size=64),
        "masks": MaskConfig(),
        "seed": 0,
        "batch_size": 2,
    }
    if "pool" not in changes:
        wanted["pool"] = build_pool(abnormals or [abnormal_sample(0)], CLASS)
    return BatchSource(**(wanted | changes))


def train_config(**changes: Any) -> TrainConfig:
    """Tiny networks, batch 2, 4 steps; `changes` as in a spec: loss={"lambda_1": 0.5}."""
    model = TINY_NETWORKS | changes.pop("model", {})
    wanted: dict[str, Any] = {"batch_size": 2, "total_images": 8, "log_every_steps": 1, "model": model}
    return TrainConfig.model_validate(wanted | changes)


class NarrowAware(AwareNetwork):
    """The aware network with 4 channels in every convolution: its form at a hundredth of its cost."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        channels = 3
        for i, layer in enumerate(self.features):
            if isinstance(layer, nn.Conv2d):
                narrow = nn.Conv2d(channels, 4, 3, padding=1)
                nn.init.kaiming_normal_(narrow.weight, nonlinearity="relu")
                self.features[i], channels = narrow, 4


def train_state(config: TrainConfig, aware: AwareNetwork | None = None) -> AnomalyGan:
    return build_anomaly_gan(config, 64, aware or NarrowAware(), CPU)


def tiny_generator(seed: int = 0, **changes: Any) -> Generator:
    """Untrained, in evaluation mode, with every parameter off its starting value so that it changes the image."""
    torch.manual_seed(seed)
    generator = build_generator(ModelConfig.model_validate(TINY_NETWORKS | changes))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator.eval().requires_grad_(False)


def generation_plan(
    shape: tuple[int, ...] = (80, 96), kind: str = "window", masks: MaskConfig | None = None, **config: Any
) -> GenerationPlan:
    return GenerationPlan(
        [normal_sample(i, shape) for i in range(4)],
        build_pool([abnormal_sample(i) for i in range(3)], CLASS),
        ViewConfig.model_validate({"kind": kind, "size": 64}),
        masks or MaskConfig(),
        GenerationConfig.model_validate(config),
    )


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def gradients_of(module: nn.Module) -> Tensor:
    """All gradients as one vector; a missing one counts as zeros."""
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in module.parameters()]
    return torch.cat([part.flatten() for part in parts])


def everything(state: AnomalyGan) -> dict[str, Any]:
    """All that a run changes, as plain values that later steps leave alone."""
    names = ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d")
    pools = {domain: pool.histories for domain, pool in state.image_pools.items()}
    kept = {name: getattr(state, name).state_dict() for name in names}
    return deepcopy({"step": state.step, "image_pools": pools} | kept)


def equal_states(first: Any, second: Any) -> bool:
    """Whether two nests of dicts and lists hold the same values, tensors bit for bit."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal_states(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal_states, first, second))
    return bool(first == second)
