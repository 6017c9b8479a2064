"""One training step as the paper has it, and the loop around it: fetch, fakes, D, G, EMA, report."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from anomaly_gan import losses
from anomaly_gan.batches import Batch, BatchSource
from anomaly_gan.config import TrainConfig
from anomaly_gan.crops import crop, mask_boxes
from anomaly_gan.data import to_model_range
from anomaly_gan.train_state import Fakes, Seen, TrainState
from infra.errors import TrainingError

EMA_WARMUP_STEPS = 10


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
