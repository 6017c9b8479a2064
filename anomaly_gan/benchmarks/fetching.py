"""How fast batches are made, and how long training waits for them."""

from statistics import median

import torch

from anomaly_gan.benchmarks.looping import windows
from anomaly_gan.benchmarks.measuring import Figures, Ratio, in_turn, timed
from anomaly_gan.benchmarks.synthetic import synthetic_source
from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.progress import Progress

BATCHES = 20
"""Batches that the source alone makes in one round of measuring."""
STEPS = 5
"""Steps that the loop trains in one round of measuring."""


def measure_data(
    config: TrainConfig, view: ViewConfig, device: torch.device, repeats: int, progress: Progress
) -> Figures:
    """Batches per second of a source alone and in the training loop; the loop's share of waiting for them."""
    source = synthetic_source(config, view)
    make = timed(lambda: [source.batch(step) for step in range(BATCHES)])
    alone = [BATCHES / seconds for seconds in in_turn({"": make}, repeats, lambda *_: None)[""]]
    reports = windows(config, view, device, STEPS, repeats + 1)
    looped = in_turn({"": lambda: next(reports)}, repeats, progress)[""]
    waiting = [report.data_wait for report in looped]
    rounds = {
        "source alone": {"batches_per_sec": alone},
        "training": {
            "batches_per_sec": [report.images_per_sec / config.batch_size for report in looped],
            "data_wait": waiting,
        },
    }
    return Figures(rounds, {"waiting / training": Ratio(median(waiting), "at most 0.02")})
