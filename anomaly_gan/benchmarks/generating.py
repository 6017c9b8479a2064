"""What planning, measuring and encoding leave of the speed of a generator."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import torch

from anomaly_gan.benchmarks.measuring import Figures, Ratio, in_turn, timed
from anomaly_gan.benchmarks.synthetic import synthetic_source
from anomaly_gan.config import GenerationConfig, MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.generation.gate import learn_gate
from anomaly_gan.generation.generate import generate
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.networks.generator import build_generator
from anomaly_gan.progress import Progress
from anomaly_gan.samples.sample import encode_sample

ROUND_BATCHES = 6


def measure_generation(
    config: TrainConfig,
    view: ViewConfig,
    batch_size: int,
    cores: int,
    device: torch.device,
    repeats: int,
    progress: Progress,
) -> Figures:
    """Images per second of the generator alone, of encoding alone, and of both with all that a task does between them.

    The whole is done as an actor of a generate job does it: by one thread more than it has cores, which share the
    generator. The store is left out. No image is tried twice.
    """
    source = synthetic_source(config, view)
    generation = GenerationConfig.model_validate({"batch_size": batch_size, "quality": {"tries": 1}})
    gate = learn_gate(
        source.normals,
        source.abnormals,
        source.pool.class_name,
        view,
        generation.quality,
        generation.feather_px,
    )
    plan = GenerationPlan(source.normals, source.pool, view, MaskConfig(), generation, gate)
    generator = build_generator(config.model).to(device).eval().requires_grad_(False)
    images = ROUND_BATCHES * batch_size
    batches = [range(start, start + batch_size) for start in range(0, images, batch_size)]
    made = generate(plan, batches[0], generator)
    pixels = torch.rand(batch_size, 3, view.size, view.size, device=device)
    masks = torch.zeros(batch_size, 1, view.size, view.size, device=device)
    network = threading.Lock()

    def forward() -> None:
        with torch.inference_mode():
            for _ in batches:
                generator(pixels, masks).cpu()

    def encode() -> None:
        for _ in batches:
            for one in made:
                encode_sample(one.sample)

    def task(batch: Sequence[int]) -> None:
        for one in generate(plan, batch, generator, turn=network):
            encode_sample(one.sample)

    def whole() -> None:
        with ThreadPoolExecutor(cores + 1, initializer=torch.set_num_threads, initargs=(cores,)) as threads:
            list(threads.map(task, batches))

    runs = {"generator alone": forward, "encoding alone": encode, "whole": whole}
    seconds = in_turn({name: timed(run, device) for name, run in runs.items()}, repeats, progress)
    rounds = {name: {"images_per_sec": [images / value for value in values]} for name, values in seconds.items()}
    speeds = {name: median(row["images_per_sec"]) for name, row in rounds.items()}
    slower = min(speeds["generator alone"], speeds["encoding alone"])
    return Figures(rounds, {"whole over the slower of both": Ratio(speeds["whole"] / slower, "at least 0.9")})
