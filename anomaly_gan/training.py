"""One training step as the paper has it, and the loop around it: fetch, fakes, D, G, EMA, report."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from anomaly_gan import losses
from anomaly_gan.batches import Batch, BatchSource
from anomaly_gan.config import ModelConfig, OptimConfig, TrainConfig
from anomaly_gan.crops import crop, mask_boxes
from anomaly_gan.data import to_model_range
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.discriminator import LocalGlobalDiscriminator
from anomaly_gan.networks.generator import UNet, build_generator
from infra.errors import TrainingError, UsageError

EMA_WARMUP_STEPS = 10
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


@dataclass(frozen=True)
class StepReport:
    """What happened since the last report.

    Attributes:
        losses: unweighted terms, means over the steps; names as in `TERMS`.
        images_per_sec: pairs shown per second over all ranks.
    """

    step: int
    total_steps: int
    nimg: int
    losses: dict[str, float]
    images_per_sec: float
    learning_rate_factor: float


TERMS = {
    "d1": "Eq. 2, both domains",
    "d2": "Eq. 3, both domains",
    "adv_d1": "generators against D1, both domains",
    "adv_d2": "generators against D2, both domains, before lambda_1",
    "cycle": "Eq. 6",
    "aware": "Eq. 7",
    "outside": "L1 change outside the mask, both domains",
    "grad_d": "norm of the discriminators' gradient",
    "grad_g": "norm of the generators' gradient",
}


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


def see(image: Tensor, mask: Tensor, config: TrainConfig) -> Seen:
    """Add the mask as the config says, and cut the crop around it.

    Args:
        image: [N, 3, H, W] in [-1, 1].
        mask: [N, 1, H, W] in {0, 1}.
    """
    boxes, has_mask = mask_boxes(mask, config.crop)
    if config.model.discriminator_input == "mask_channel":
        view = torch.cat([image, mask], 1)
        return Seen(view, crop(view, boxes), has_mask)
    return Seen(image, crop(image * mask, boxes), has_mask)


def train_step(state: TrainState, batch: Batch) -> dict[str, Tensor]:
    """One update of the discriminators, then one of the generators; the fakes are made once for both.

    Returns:
        Unweighted terms, scalars [], named as in `TERMS`.
    """
    normal = to_model_range(batch.normal_image)
    abnormal = to_model_range(batch.abnormal_image)
    expert_mask, prior_mask = batch.expert_mask.float(), batch.prior_mask.float()
    fakes: Fakes = state.generators_joined(normal, expert_mask, abnormal, prior_mask)
    real_abnl = see(abnormal, prior_mask, state.config)
    real_norm = see(normal, expert_mask, state.config)

    terms = _discriminator_step(state, fakes, real_abnl, real_norm, expert_mask, prior_mask)

    weights = state.config.loss
    fake_abnl = see(fakes.fake_abnormal, expert_mask, state.config)
    fake_norm = see(fakes.fake_normal, prior_mask, state.config)
    terms |= _adversarial_terms(state, fake_abnl, fake_norm)
    terms["cycle"] = losses.loss_cycle(fakes.cycled_normal, normal) + losses.loss_cycle(fakes.cycled_abnormal, abnormal)
    terms["outside"] = losses.loss_outside(fakes.fake_abnormal, normal, expert_mask) + losses.loss_outside(
        fakes.fake_normal, abnormal, prior_mask
    )
    terms["aware"] = _aware_term(state, fake_norm, real_norm) + _aware_term(state, fake_abnl, real_abnl)
    objective = (  # Eq. 8, with ours outside the mask
        terms["adv_d1"]
        + weights.lambda_1 * terms["adv_d2"]
        + weights.lambda_cycle * terms["cycle"]
        + weights.lambda_aware * terms["aware"]
        + weights.lambda_outside * terms["outside"]
    )
    state.optim_g.zero_grad(set_to_none=True)
    objective.backward()  # type: ignore[no-untyped-call]
    terms["grad_g"] = _gradient_norm(state.generators)
    state.optim_g.step()
    state.discriminators.requires_grad_(True)
    _update_ema(state)
    return {name: term.detach() for name, term in terms.items()}


def _discriminator_step(
    state: TrainState, fakes: Fakes, real_abnl: Seen, real_norm: Seen, expert_mask: Tensor, prior_mask: Tensor
) -> dict[str, Tensor]:
    fake_abnl = see(fakes.fake_abnormal.detach(), expert_mask, state.config)
    fake_norm = see(fakes.fake_normal.detach(), prior_mask, state.config)
    logits = state.discriminators_joined(real_abnl, fake_abnl, real_norm, fake_norm)
    terms = {
        "d1": losses.loss_d1(logits[0], logits[1]) + losses.loss_d1(logits[4], logits[5]),
        "d2": losses.loss_d2(logits[2], logits[3]) + losses.loss_d2(logits[6], logits[7]),
    }
    state.optim_d.zero_grad(set_to_none=True)
    (terms["d1"] + terms["d2"]).backward()  # type: ignore[no-untyped-call]
    terms["grad_d"] = _gradient_norm(state.discriminators)
    state.optim_d.step()
    return terms


def _adversarial_terms(state: TrainState, fake_abnl: Seen, fake_norm: Seen) -> dict[str, Tensor]:
    """Eqs. 4 and 5 without lambda_1; the discriminators stay frozen until the generators are updated."""
    nets, form = state.discriminators.requires_grad_(False).nets, state.config.loss.adversarial
    return {
        "adv_d1": losses.loss_adv_d1(nets["d1_abnl"](*fake_abnl), form)
        + losses.loss_adv_d1(nets["d1_norm"](*fake_norm), form),
        "adv_d2": losses.loss_adv_d2(nets["d2_abnl"](*fake_abnl), form)
        + losses.loss_adv_d2(nets["d2_norm"](*fake_norm), form),
    }


def _aware_term(state: TrainState, fake: Seen, real: Seen) -> Tensor:
    """One half of Eq. 7."""
    with torch.no_grad():
        real_features = state.aware(real.crop[:, :3])
    weight = fake.has_mask * real.has_mask
    return losses.loss_semantic(state.aware(fake.crop[:, :3]), real_features, weight, state.config.loss.aware_norm)


def _gradient_norm(module: nn.Module) -> Tensor:
    """The L2 norm over all parameters, a scalar []; not finite as soon as one gradient is not."""
    return torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])


def _update_ema(state: TrainState) -> None:
    """Average the weights; early steps count more, so that the random start is soon forgotten."""
    decay = min(state.config.optim.ema_decay, (1 + state.step) / (EMA_WARMUP_STEPS + state.step))
    current = state.generators.norm2abnl
    with torch.no_grad():
        for average, parameter in zip(state.g_ema.parameters(), current.parameters(), strict=True):
            average.lerp_(parameter, 1 - decay)
        for kept, buffer in zip(state.g_ema.buffers(), current.buffers(), strict=True):
            kept.copy_(buffer)


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """1, then linear to 0 from `decay_start` on."""
    done, start = step / config.total_steps, config.optim.decay_start
    return 1.0 if done <= start else max((1 - done) / (1 - start), 0.0)


@dataclass
class _Window:
    """Terms and time since the last report."""

    started: float = field(default_factory=time.perf_counter)
    sums: dict[str, float] = field(default_factory=dict)
    steps: int = 0

    def add(self, terms: dict[str, float]) -> None:
        self.steps += 1
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value


def run(state: TrainState, source: BatchSource) -> Iterator[StepReport]:
    """Train from `state.step` to the end, reporting whenever something is due; all ranks report alike.

    Raises:
        TrainingError: the first term that is not finite, with its name, position and rank.
    """
    config, window = state.config, _Window()
    while state.step < config.total_steps:
        factor = learning_rate_factor(config, state.step)
        state.optim_g.param_groups[0]["lr"] = config.optim.lr_g * factor
        state.optim_d.param_groups[0]["lr"] = config.optim.lr_d * factor
        terms = train_step(state, source.batch(state.step).to(state.device))
        values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"{name} is {value} at nimg={state.nimg}, rank {source.rank};"
                    " lower the learning rates or choose another seed, and submit it again"
                )
        state.step += 1
        window.add(values)
        if is_due(config, state.step):
            seconds = time.perf_counter() - window.started
            yield StepReport(
                state.step,
                config.total_steps,
                state.nimg,
                {name: total / window.steps for name, total in window.sums.items()},
                window.steps * config.batch_size / seconds,
                factor,
            )
            window = _Window()


def is_due(config: TrainConfig, step: int) -> bool:
    """Whether a step ends in a report: to log, to draw samples, to checkpoint, or because it is the last."""
    every = (config.log_every_steps, config.sample_every_steps, config.checkpoint_every_steps)
    return step == config.total_steps or any(step % interval == 0 for interval in every)
