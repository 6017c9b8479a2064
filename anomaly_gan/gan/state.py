"""What a training run changes: networks, optimisers, averaged weights, image pools; and what does not fit together."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint as recomputed

from anomaly_gan.config import ComputeConfig, OptimConfig, TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.generator import Generator, build_generator, check_view, make_generator
from anomaly_gan.networks.spectral import SpectralNorm
from anomaly_gan.training.image_pool import ImagePool
from infra.errors import UsageError

DOMAINS = ("abnl", "norm")

Wrap = Callable[[nn.Module], nn.Module]


class Fakes(NamedTuple):
    """First- and second-pass outputs, each [N, 3, H, W] in [-1, 1], fp32."""

    fake_abnormal: Tensor
    cycled_normal: Tensor
    fake_normal: Tensor
    cycled_abnormal: Tensor


class Seen(NamedTuple):
    """An image as the discriminators and the aware network see it.

    view [N, C, H, W]; crop [N * K, C, 64, 64], K boxes an image; has_mask [N] in {0, 1}; C is 4 with the mask as
    channel, else 3.
    """

    view: Tensor
    crop: Tensor
    has_mask: Tensor


class GeneratorPass(nn.Module):
    """Both cycles in one forward, so that gradients of all ranks are joined once per step."""

    def __init__(self, norm2abnl: Generator, abnl2norm: Generator, compute: ComputeConfig) -> None:
        super().__init__()
        self.norm2abnl = norm2abnl
        self.abnl2norm = abnl2norm
        self._compute = compute

    def forward(self, normal: Tensor, expert_mask: Tensor, abnormal: Tensor, prior_mask: Tensor) -> Fakes:
        fake_abnormal = self._translate(self.norm2abnl, normal, expert_mask)
        cycled_normal = self._translate(self.abnl2norm, fake_abnormal, expert_mask)
        fake_normal = self._translate(self.abnl2norm, abnormal, prior_mask)
        cycled_abnormal = self._translate(self.norm2abnl, fake_normal, prior_mask)
        return Fakes(fake_abnormal, cycled_normal, fake_normal, cycled_abnormal)

    @torch.no_grad()
    def first_pass(
        self, normal: Tensor, expert_mask: Tensor, abnormal: Tensor, prior_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(fake_abnormal, fake_normal) alone, without gradient and without a trace in running statistics."""
        with statistics_kept(self):
            return self._translate(self.norm2abnl, normal, expert_mask), self._translate(
                self.abnl2norm, abnormal, prior_mask
            )

    def _translate(self, net: Generator, image: Tensor, mask: Tensor) -> Tensor:
        with autocast(image.device, self._compute):
            if self._compute.recompute and torch.is_grad_enabled():
                translated: Tensor = recomputed(
                    net, image, mask, use_reentrant=False, context_fn=partial(_recompute_contexts, net)
                )
            else:
                translated = net(image, mask)
        return translated.float()


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
        self._compute = config.compute

    def forward(self, *seen: Seen) -> list[Tensor]:
        """Logits [N] of d1 and d2 on real and fake of the abnormal, then of the normal domain.

        Args:
            seen: real and fake of the abnormal domain, real and fake of the normal domain.
        """
        logits: list[Tensor] = []
        for domain, (real, fake) in zip(DOMAINS, (seen[:2], seen[2:]), strict=True):
            both = Seen(*(torch.cat(pair) for pair in zip(real, fake, strict=True)))
            for role in ("d1", "d2"):
                name = f"{role}_{domain}"
                if self.nets[name].mixes_images:
                    logits += [self.judge(name, real), self.judge(name, fake)]
                else:
                    logits += self.judge(name, both).chunk(2)
        return logits

    def judge(self, name: str, seen: Seen) -> Tensor:
        """Logits [N] of one discriminator, fp32."""
        with autocast(seen.view.device, self._compute):
            logits: Tensor = self.nets[name](*seen)
        return logits.float()


def autocast(device: torch.device, compute: ComputeConfig) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16")


def precision_warning(compute: ComputeConfig, device: torch.device) -> str | None:
    """A sentence where bf16 is computed without instructions for it: steps were seen to take many times as long."""
    if compute.precision == "fp32" or device.type != "cpu":
        return None
    known = torch.cpu.get_capabilities()
    if any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
        return None
    return "train.compute.precision: this CPU has no bf16 instructions, which makes bf16 far slower; use fp32"


def _recompute_contexts(net: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), statistics_kept(net)


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Within it a forward pass leaves running means and variances as they are."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def power_iterated(module: nn.Module, *, now: bool) -> Iterator[None]:
    """Within it a forward pass improves the spectral norms' estimates, or takes them as they are."""
    norms = [part for part in module.modules() if isinstance(part, SpectralNorm)]
    iterations = [norm.iterations for norm in norms]
    for norm in norms:
        norm.iterations *= now
    try:
        yield
    finally:
        for norm, count in zip(norms, iterations, strict=True):
            norm.iterations = count


@dataclass
class TrainState:
    """Everything that a run changes, and the frozen aware network."""

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

    @property
    def nimg(self) -> int:
        return self.step * self.config.batch_size

    def features(self, crop: Tensor) -> list[Tensor]:
        """The aware network's taps on [N, 3, 64, 64] in [-1, 1]."""
        with autocast(crop.device, self.config.compute):
            tapped: list[Tensor] = self.aware(crop)
        return tapped


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
        UsageError: the view does not suit the generator.
    """
    check_view(config.model, resolution)
    torch.manual_seed(config.seed)
    pair = build_generator(config.model), build_generator(config.model)
    generators = GeneratorPass(*pair, config.compute)
    discriminators = DiscriminatorPass(resolution, config)
    g_ema = make_generator(config.model)
    g_ema.load_state_dict(generators.norm2abnl.state_dict())
    layout = torch.channels_last if config.compute.channels_last else torch.contiguous_format
    if (device.type, layout) != ("cpu", torch.contiguous_format):  # else they are there; fake tensors cannot be moved
        for module in (generators, discriminators, g_ema, aware):
            module.to(device).to(memory_format=layout)
    if config.compute.compile:
        for network in (*pair, *discriminators.nets.values(), aware):
            network.compile()
    optim = config.optim
    return TrainState(
        config,
        generators,
        discriminators,
        aware.frozen(),
        g_ema.eval().requires_grad_(False),
        _adamw(generators, optim, optim.lr_g),
        _adamw(discriminators, optim, optim.lr_d),
        wrap(generators),
        wrap(discriminators),
        {
            domain: ImagePool(config.image_pool, config.seed, config.batch_size, number)
            for number, domain in enumerate(DOMAINS)
        },
        device,
    )


def join_ranks(device: torch.device) -> Wrap:
    """DDP where several ranks train together.

    It leaves buffers alone: rank 0's batch statistics must not replace those of the others, and to send them between
    two forward passes before one backward pass raised in some versions of torch (pytorch issue 175024).
    """

    def wrap(module: nn.Module) -> nn.Module:
        device_ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=device_ids, forward_sync_buffers=False)

    return wrap


def gradients_joined(module: nn.Module, *, now: bool) -> AbstractContextManager[None]:
    """Within it a backward pass joins the ranks' gradients, or leaves that to a later one."""
    if now or not isinstance(module, DistributedDataParallel):
        return nullcontext()
    unjoined: AbstractContextManager[None] = module.no_sync()
    return unjoined


def _adamw(module: nn.Module, optim: OptimConfig, rate: float) -> torch.optim.AdamW:
    betas = (optim.beta1, optim.beta2)
    return torch.optim.AdamW(module.parameters(), lr=rate, betas=betas, weight_decay=optim.weight_decay, fused=True)


def check_ranks(config: TrainConfig, world_size: int) -> None:
    """Refuse a batch that the ranks cannot share.

    Raises:
        UsageError: batch_size is no multiple of workers times parts, or batch norm would see one image.
    """
    accumulate = config.compute.accumulate
    shares = world_size * accumulate
    share, rest = divmod(config.batch_size, shares)
    if rest:
        by = f"{world_size} workers" + (f" in {accumulate} parts each" if accumulate > 1 else "")
        raise UsageError(
            f"train.batch_size: {config.batch_size} pairs cannot be shared by {by}; use a multiple of {shares}"
        )
    norms = (config.model.generator_norm, config.model.discriminator_norm)
    joined = world_size if "batch" not in norms else 1
    if ("batch" in norms or "sync" in norms) and share * joined < 2:
        raise UsageError(
            f"train.batch_size: batch norm needs 2 pairs per worker and part, got {share};"
            " raise batch_size, lower workers or train.compute.accumulate, or use instance and spectral norm"
        )
