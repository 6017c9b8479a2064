"""What a training run changes: networks, optimisers, averaged weights; and what does not fit together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig, OptimConfig, TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.generator import UNet, build_generator
from infra.errors import UsageError

DOMAINS = ("abnl", "norm")

Wrap = Callable[[nn.Module], nn.Module]


class Fakes(NamedTuple):
    """First- and second-pass outputs, each [N, 3, H, W] in [-1, 1]."""

    fake_abnormal: Tensor
    cycled_normal: Tensor
    fake_normal: Tensor
    cycled_abnormal: Tensor


class Seen(NamedTuple):
    """An image as the discriminators and the aware network see it.

    view [N, C, H, W]; crop [N, C, 64, 64]; has_mask [N] in {0, 1}; C is 4 with the mask as channel, else 3.
    """

    view: Tensor
    crop: Tensor
    has_mask: Tensor


class GeneratorPass(nn.Module):
    """Both cycles in one forward, so that gradients of all ranks are joined once per step."""

    def __init__(self, norm2abnl: UNet, abnl2norm: UNet) -> None:
        super().__init__()
        self.norm2abnl = norm2abnl
        self.abnl2norm = abnl2norm

    def forward(self, normal: Tensor, expert_mask: Tensor, abnormal: Tensor, prior_mask: Tensor) -> Fakes:
        fake_abnormal = self.norm2abnl(normal, expert_mask)
        cycled_normal = self.abnl2norm(fake_abnormal, expert_mask)
        fake_normal = self.abnl2norm(abnormal, prior_mask)
        cycled_abnormal = self.norm2abnl(fake_normal, prior_mask)
        return Fakes(fake_abnormal, cycled_normal, fake_normal, cycled_abnormal)


class DiscriminatorPass(nn.Module):
    """The four discriminators: for each domain D1 (real high) and D2 (generated high)."""

    def __init__(self, resolution: int, config: TrainConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleDict(
            {
                f"{role}_{domain}": LocalGlobalDiscriminator(resolution, config.model)
                for domain in DOMAINS
                for role in ("d1", "d2")
            }
        )

    def forward(self, *seen: Seen) -> list[Tensor]:
        """Logits [N] of d1 and d2 on real and fake of the abnormal, then of the normal domain.

        Args:
            seen: real and fake of the abnormal domain, real and fake of the normal domain.
        """
        logits = []
        for domain, (real, fake) in zip(DOMAINS, (seen[:2], seen[2:]), strict=True):
            for role in ("d1", "d2"):
                net = self.nets[f"{role}_{domain}"]
                logits += [net(*real), net(*fake)]
        return logits


@dataclass
class TrainState:
    """Everything that a run changes, and the frozen aware network."""

    config: TrainConfig
    generators: GeneratorPass
    discriminators: DiscriminatorPass
    aware: AwareNetwork
    g_ema: UNet
    optim_g: torch.optim.Optimizer
    optim_d: torch.optim.Optimizer
    generators_joined: nn.Module
    discriminators_joined: nn.Module
    device: torch.device
    step: int = 0

    @property
    def nimg(self) -> int:
        return self.step * self.config.batch_size


def build_state(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap = lambda m: m
) -> TrainState:
    """Networks with weights of `config.seed`, their optimisers, on `device`.

    Args:
        config: the run.
        resolution: side of the view in px.
        aware: frozen.
        device: where all of it lives.
        wrap: joins the gradients of several ranks (DDP); the identity for one.

    Raises:
        UsageError: the view is too small for the generator.
    """
    check_generator(config.model, resolution)
    torch.manual_seed(config.seed)
    generators = GeneratorPass(build_generator(config.model), build_generator(config.model)).to(device)
    discriminators = DiscriminatorPass(resolution, config).to(device)
    g_ema = UNet(config.model).to(device)
    g_ema.load_state_dict(generators.norm2abnl.state_dict())
    optim = config.optim
    return TrainState(
        config,
        generators,
        discriminators,
        aware.to(device).frozen(),
        g_ema.eval().requires_grad_(False),
        _adamw(generators, optim, optim.lr_g),
        _adamw(discriminators, optim, optim.lr_d),
        wrap(generators),
        wrap(discriminators),
        device,
    )


def _adamw(module: nn.Module, optim: OptimConfig, rate: float) -> torch.optim.AdamW:
    betas = (optim.beta1, optim.beta2)
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=betas, weight_decay=optim.weight_decay)


def check_generator(model: ModelConfig, resolution: int) -> None:
    """Refuse a view that the generator's down steps cannot halve to 2 px or more.

    Raises:
        UsageError: the view is too small, or no multiple.
    """
    factor = 2 ** len(model.generator_widths)
    if resolution % factor or resolution // factor < 2:
        raise UsageError(
            f"train.model.generator_widths: {len(model.generator_widths)} down steps do not fit a view of"
            f" {resolution} px; name fewer widths"
        )


def check_ranks(config: TrainConfig, world_size: int) -> None:
    """Refuse a batch that the ranks cannot share.

    Raises:
        UsageError: batch_size is no multiple of the number of workers, or batch norm would see one image.
    """
    per_rank, rest = divmod(config.batch_size, world_size)
    if rest:
        raise UsageError(
            f"train.batch_size: {config.batch_size} pairs cannot be shared by {world_size} workers;"
            f" use a multiple of {world_size}"
        )
    has_batch_norm = "batch" in (config.model.generator_norm, config.model.discriminator_norm)
    if has_batch_norm and per_rank < 2:
        raise UsageError(
            f"train.batch_size: batch norm needs 2 pairs per worker, got {per_rank};"
            " raise batch_size, lower workers, or use instance and spectral norm"
        )
