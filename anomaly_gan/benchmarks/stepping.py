"""A training step beside its parts, and beside a CycleGAN step."""

from collections.abc import Callable
from functools import partial
from statistics import median

import torch

from anomaly_gan.benchmarks.measuring import Figures, Ratio, Told, in_turn, timed
from anomaly_gan.benchmarks.parts import StepParts
from anomaly_gan.benchmarks.synthetic import synthetic_source
from anomaly_gan.config import ComputeConfig, TrainConfig, ViewConfig
from anomaly_gan.gan.aware_training import random_aware
from anomaly_gan.gan.state import TrainState, build_state
from anomaly_gan.gan.step import train_step
from anomaly_gan.rivals.cyclegan import build_cyclegan
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.joining import check_ranks

CYCLEGAN = "CycleGAN"
AIMS = {"resnet9": "at least 1", "unet": "at least 4"}
"""Our generators beside CycleGAN's: one of the same structure, and the default."""


def measure_parts(config: TrainConfig, view: ViewConfig, device: torch.device, repeats: int, told: Told) -> Figures:
    """Seconds of the whole step and of each of its parts alone; the step over the sum of its parts."""
    state, batch = _begin(config, view, device)
    parts = StepParts(state, batch).all()
    runs: dict[str, Callable[[], object]] = {"step": partial(train_step, state, batch), **parts}
    seconds = in_turn({name: timed(run, device) for name, run in runs.items()}, repeats, told)
    ratio = median(seconds["step"]) / sum(median(seconds[name]) for name in parts)
    rounds = {name: {"sec": values} for name, values in seconds.items()}
    rounds["step"]["images_per_sec"] = [config.batch_size / value for value in seconds["step"]]
    return Figures(rounds, {"step / parts": Ratio(ratio, "at most 1.15")})


def measure_beside_cyclegan(
    config: TrainConfig, view: ViewConfig, device: torch.device, repeats: int, told: Told
) -> Figures:
    """Pairs per second of CycleGAN and of ours with each generator of `AIMS`, on the same pairs; ours over CycleGAN's.

    CycleGAN's networks begin with as many channels as our ResNet generator, `resnet_width`.
    """
    runs: dict[str, Callable[[], object]] = {}
    for name in AIMS:
        model = config.model.model_copy(update={"generator": name})
        state, batch = _begin(config.model_copy(update={"model": model}), view, device)
        runs[name] = partial(train_step, state, batch)
    plain = build_cyclegan(_published(config), view.size, random_aware(config.seed), device)
    runs = {CYCLEGAN: partial(plain.train_step, batch), **runs}
    seconds = in_turn({name: _second(run, device) for name, run in runs.items()}, repeats, told)
    rounds = {
        name: {"sec": values, "images_per_sec": [config.batch_size / value for value in values]}
        for name, values in seconds.items()
    }
    whole = median(seconds[CYCLEGAN])
    ratios = {f"{name} / {CYCLEGAN}": Ratio(whole / median(seconds[name]), aim) for name, aim in AIMS.items()}
    return Figures(rounds, ratios)


def _published(config: TrainConfig) -> TrainConfig:
    """CycleGAN as it was published, but for its pool of earlier images, with as many channels as our generators."""
    model = {"generator": "plain_resnet9", "upsample": "transposed", "generator_norm": "instance"}
    channels = {"width_mult": config.model.resnet_width / 64}
    changed = config.model.model_copy(update={**model, **channels, "blend": False, "gray": False})
    optim = config.optim.model_copy(update={"ema_decay": 0.0, "weight_decay": 0.0})
    return config.model_copy(update={"model": changed, "optim": optim, "image_pool": 0, "compute": ComputeConfig()})


def _second(run: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Seconds of a step right after another of the same networks, as in training: others leave caches and heap cold."""
    step = timed(run, device)

    def seconds() -> float:
        step()
        return step()

    return seconds


def _begin(config: TrainConfig, view: ViewConfig, device: torch.device) -> tuple[TrainState, Batch]:
    check_ranks(config, 1)
    state = build_state(config, view.size, random_aware(config.seed), device)
    return state, synthetic_source(config, view).batch(0).to(device)
