"""The generator alone, without reading, pasting or writing pictures."""

import torch

from anomaly_gan.benchmarks.measuring import Figures, in_turn, repeated, timed
from anomaly_gan.config import TrainConfig
from anomaly_gan.networks.generator import build_generator
from anomaly_gan.progress import Progress
from anomaly_gan.training.computing import autocast

CALLS = 5
"""Forward passes in one round of measuring."""


def measure_forward(config: TrainConfig, size: int, device: torch.device, repeats: int, progress: Progress) -> Figures:
    """Images per second of the generator's forward pass, on tensors that are on the device already.

    Args:
        config: its generator, batch size, precision, layout and whether it is compiled.
        size: side of the images in px.
        device: where they are.
        repeats: rounds that count.
        progress: called after each round.
    """
    generator = build_generator(config.model).to(device).eval()
    if config.compute.channels_last:
        generator.to(memory_format=torch.channels_last)
    if config.compute.compile:
        generator.compile()
    images = torch.zeros(config.batch_size, 3, size, size, device=device)
    masks = torch.zeros(config.batch_size, 1, size, size, device=device)

    def forward() -> None:
        with torch.inference_mode(), autocast(device, config.compute):
            generator(images, masks)

    seconds = in_turn({"forward": timed(repeated(forward, CALLS), device)}, repeats, progress)["forward"]
    return Figures({"forward": {"images_per_sec": [CALLS * config.batch_size / value for value in seconds]}}, {})
