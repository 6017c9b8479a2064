"""The real training loop on made-up pictures, in windows of equal length."""

from collections.abc import Iterator

import torch

from anomaly_gan.benchmarks.synthetic import synthetic_source
from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.gan.aware_training import random_aware
from anomaly_gan.methods import build_method
from anomaly_gan.ranks import rank, world_size
from anomaly_gan.training import loop as training
from anomaly_gan.training.joining import check_ranks, join_ranks
from anomaly_gan.training.loop import StepReport


def windows(
    config: TrainConfig, view: ViewConfig, device: torch.device, steps: int, count: int
) -> Iterator[StepReport]:
    """`count` reports of a run, each over `steps` steps; on every rank of the process group, where there is one.

    A window begins when its report is asked for.
    """
    every = dict.fromkeys(("log_every_steps", "sample_every_steps", "checkpoint_every_steps"), steps)
    config = config.model_copy(update={"total_images": steps * count * config.batch_size, **every})
    check_ranks(config, world_size())
    wrap = {"wrap": join_ranks(device)} if world_size() > 1 else {}
    state = build_method(config, view.size, random_aware(config.seed), device, **wrap)
    yield from training.run(state, synthetic_source(config, view, rank(), world_size()))
