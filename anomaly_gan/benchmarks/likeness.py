"""How fast pictures are measured by features, beside the feature network alone: all else should cost little."""

from statistics import median

import numpy as np
import torch

from anomaly_gan.benchmarks.measuring import Figures, Ratio, in_turn, timed
from anomaly_gan.benchmarks.synthetic import CLASS, window_of
from anomaly_gan.evaluation.likeness import crop_features, measure_likeness
from anomaly_gan.metrics.features.network import CPU_BATCH, load_features
from anomaly_gan.progress import Progress

REAL_PICTURES = 100
"""Of the test split, which is small as a rule."""

SIDE_PX = 128


def measure_likeness_rate(images: int, repeats: int, device: torch.device, progress: Progress) -> Figures:
    """Pictures per second from decoded pictures with masks to all scores, and of the network on crops that are ready.

    Args:
        images: generated pictures of 128 px, one anomaly each.
        device: of the network.
    """
    network = load_features("lite0", device=str(device))
    real = [window_of(number, SIDE_PX) for number in range(REAL_PICTURES)]
    generated = [window_of(REAL_PICTURES + number, SIDE_PX) for number in range(images)]
    test = crop_features(network, real, CLASS, "the test split")
    side = network.side_px
    levels = np.random.default_rng(0).normal(size=(CPU_BATCH, 3, side, side)).astype(np.float32)
    batch = torch.from_numpy(levels).to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward() -> None:
        for start in range(0, images, CPU_BATCH):
            network.module(batch[: min(CPU_BATCH, images - start)])

    def whole() -> None:
        measure_likeness(test, {"generated": crop_features(network, generated, CLASS, "generated")}, seed=0)

    runs = {"network alone": timed(forward, device), "measures": timed(whole, device)}
    seconds = in_turn(runs, repeats, progress)
    rounds = {name: {"images_per_sec": [images / value for value in values]} for name, values in seconds.items()}
    alone, measured = (median(values) for values in seconds.values())
    return Figures(rounds, {"measures / network alone": Ratio(alone / measured, "at least 0.9")})
