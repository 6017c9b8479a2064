"""What a run of Anomaly-GAN changes: networks, optimisers, averaged weights, image pools."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anomaly_gan.config import ComputeConfig, TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.generator import Generator, build_generator, check_view, make_generator
from anomaly_gan.networks.spectral import SpectralNorm
from anomaly_gan.networks.texture_critic import TextureCritic
from anomaly_gan.training.computing import autocast, lay_out, statistics_kept, translate
from anomaly_gan.training.image_pool import DOMAINS, ImagePool, image_pools
from anomaly_gan.training.joining import Wrap, alone
from anomaly_gan.training.optimization import adamw

"""The two kinds of pictures, abnormal and normal; each has a D1, a D2 and an image pool."""


class Translated(NamedTuple):
    """What a cycle takes, and the generator that begins it.

    image [N, 3, H, W] in [-1, 1]; mask [N, 1, H, W] in {0, 1}; noise [N, P, H, W]; texture [N, 1 or 3, H, W] of the
    anomaly on the way to an abnormal image, which the way to a normal one does not get, or None.
    """

    image: Tensor
    mask: Tensor
    noise: Tensor
    texture: Tensor | None


class Fakes(NamedTuple):
    """First- and second-pass outputs, each [N, 3, H, W] in [-1, 1], fp32."""

    fake_abnormal: Tensor
    cycled_normal: Tensor
    fake_normal: Tensor
    cycled_abnormal: Tensor


class Seen(NamedTuple):
    """An image as the discriminators and the aware network see it.

    view [N, C, H, W]; crop [N * K, C, 64, 64], K boxes an image; has_mask [N] in {0, 1}; C is 4 with the mask as
    channel, else 3; native [N, 5, S, S], a window for the critic of texture: the image, the mask as channel, and where
    the critic judges; [N, 5, 0, 0] where nothing judges it.
    """

    view: Tensor
    crop: Tensor
    has_mask: Tensor
    native: Tensor


class GeneratorPass(nn.Module):
    """Both cycles in one forward, so that gradients of all ranks are joined once per step."""

    def __init__(self, norm2abnl: Generator, abnl2norm: Generator, compute: ComputeConfig) -> None:
        super().__init__()
        self.norm2abnl = norm2abnl
        self.abnl2norm = abnl2norm
        self._compute = compute

    def forward(self, to_abnormal: Translated, to_normal: Translated) -> Fakes:
        # there and back under one and the same mask: the second pass is to take away what the first one put there
        fake_abnormal = translate(self.norm2abnl, *to_abnormal, self._compute)
        cycled_normal = translate(
            self.abnl2norm, fake_abnormal, to_abnormal.mask, to_abnormal.noise, None, self._compute
        )
        fake_normal = translate(self.abnl2norm, *to_normal[:3], None, self._compute)
        cycled_abnormal = translate(self.norm2abnl, fake_normal, *to_normal[1:], self._compute)
        return Fakes(fake_abnormal, cycled_normal, fake_normal, cycled_abnormal)

    @torch.no_grad()
    def first_pass(self, to_abnormal: Translated, to_normal: Translated) -> tuple[Tensor, Tensor]:
        """(fake_abnormal, fake_normal) alone, without gradient and without a trace in running statistics.

        The discriminators need no more of a part whose fakes are made again for the generators.
        """
        with statistics_kept(self):
            fake_abnormal = translate(self.norm2abnl, *to_abnormal, self._compute)
            return fake_abnormal, translate(self.abnl2norm, *to_normal[:3], None, self._compute)


class DiscriminatorPass(nn.Module):
    """The four discriminators: for each domain D1 (real high) and D2 (generated high); and the critic of texture."""

    def __init__(self, resolution: int, config: TrainConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleDict(
            {
                f"{role}_{domain}": LocalGlobalDiscriminator(resolution, config.model)
                for domain in DOMAINS
                for role in ("d1", "d2")
            }
        )
        self.critic = TextureCritic(config.model) if config.model.texture_critic else None
        self._compute = config.compute

    def forward(self, *seen: Seen) -> list[Tensor]:
        """Logits [N] of d1 and d2 on real and fake of the abnormal, then of the normal domain, then of the critic.

        Args:
            seen: real and fake of the abnormal domain, real and fake of the normal domain.
        """
        logits: list[Tensor] = []
        for domain, (real, fake) in zip(DOMAINS, (seen[:2], seen[2:]), strict=True):
            # [2 N, ...], real ones first: one pass over both is faster than two, but what mixes the images of a batch
            # (batch norm) must not mix real with fake, so such networks judge each half alone
            both = Seen(*(torch.cat(pair) for pair in zip(real, fake, strict=True)))
            for role in ("d1", "d2"):
                name = f"{role}_{domain}"
                if self.nets[name].mixes_images:
                    logits += [self.judge(name, real), self.judge(name, fake)]
                else:
                    logits += self.judge(name, both).chunk(2)
        if self.critic is not None:
            logits += self.judge_texture(torch.cat([seen[0].native, seen[1].native])).chunk(2)
        return logits

    def judge(self, name: str, seen: Seen) -> Tensor:
        """Logits [N] of one discriminator, fp32."""
        with autocast(seen.view.device, self._compute):
            logits: Tensor = self.nets[name](*seen[:3])
        return logits.float()

    def judge_texture(self, native: Tensor) -> Tensor:
        """Logits [N] of the critic of texture on windows as `Seen` has them, fp32."""
        assert self.critic is not None
        with autocast(native.device, self._compute):
            logits: Tensor = self.critic(native[:, :-1], native[:, -1:])
        return logits.float()


@contextmanager
def power_iterated(module: nn.Module, *, now: bool) -> Iterator[None]:
    """Within it a forward pass improves the spectral norms' estimates, or takes them as they are.

    A step whose batch is computed in several parts improves them once, so that the number of parts changes nothing.
    """
    norms = [part for part in module.modules() if isinstance(part, SpectralNorm)]
    iterations = [norm.iterations for norm in norms]
    if not now:
        for norm in norms:
            norm.iterations = 0
    try:
        yield
    finally:
        for norm, count in zip(norms, iterations, strict=True):
            norm.iterations = count


@dataclass
class TrainState:
    """Everything that a run changes, and the frozen aware network.

    Attributes:
        g_ema: averaged weights of `generators.norm2abnl`, the generator that a model keeps.
        generators_joined, discriminators_joined: the same modules, wrapped so that a backward pass joins the gradients
            of all ranks; the modules themselves where there is one rank.
        image_pools: domain -> this rank's earlier fakes.
        step: updates done.
    """

    config: TrainConfig
    generators: GeneratorPass
    discriminators: DiscriminatorPass
    aware: AwareNetwork
    g_ema: Generator
    optim_g: torch.optim.Optimizer
    optim_d: torch.optim.Optimizer
    generators_joined: nn.Module
    discriminators_joined: nn.Module
    image_pools: dict[str, ImagePool]
    device: torch.device
    step: int = 0

    def features(self, crop: Tensor) -> list[Tensor]:
        """The aware network's taps on [N, 3, 64, 64] in [-1, 1]."""
        with autocast(crop.device, self.config.compute):
            tapped: list[Tensor] = self.aware(crop)
        return tapped


def build_state(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap = alone
) -> TrainState:
    """Networks with weights of `config.seed`, their optimisers, on `device`.

    Args:
        config: the run.
        resolution: side of the view in px.
        aware: frozen.
        device: where all of it lives.
        wrap: joins the gradients of several ranks (DDP); the identity for one.

    Raises:
        UsageError: the view does not suit the generator.
    """
    check_view(config.model, resolution)
    # every rank draws the same weights; the order in which networks are built decides them
    torch.manual_seed(config.seed)
    pair = build_generator(config.model), build_generator(config.model)
    generators = GeneratorPass(*pair, config.compute)
    discriminators = DiscriminatorPass(resolution, config)
    # the average starts as a copy; it is made last, so that what its constructor draws changes no other weight
    g_ema = make_generator(config.model)
    g_ema.load_state_dict(generators.norm2abnl.state_dict())
    lay_out((generators, discriminators, g_ema, aware), device, config.compute)
    if config.compute.compile:
        # in place, so that the names of weights stay as they are
        for network in (*pair, *discriminators.nets.values(), aware):
            network.compile()
    optim = config.optim
    return TrainState(
        config,
        generators,
        discriminators,
        aware.frozen(),
        g_ema.eval().requires_grad_(False),
        adamw(generators, optim, optim.lr_g),
        adamw(discriminators, optim, optim.lr_d),
        wrap(generators),
        wrap(discriminators),
        image_pools(config),
        device,
    )
