"""Does the method learn? One class trained in this process, measured before and after on images not learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from anomaly_gan.config import GenerationConfig, TrainConfig, ViewConfig
from anomaly_gan.evaluation.preview import Preview, Previewer
from anomaly_gan.gan.aware_training import train_aware
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.methods import build_method
from anomaly_gan.metrics.mask_change import MaskChange, MeasureSummary, summarise
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training import loop
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.loop import StepReport


@dataclass(frozen=True)
class StudyData:
    """One class of a data set.

    Attributes:
        pool: of the class.
        normals, abnormals: of the training split.
        held_out: normal images of the test split, which the generated images are made from.
    """

    pool: MaskPool
    normals: Sequence[Sample]
    abnormals: Sequence[Sample]
    held_out: Sequence[Sample]


@dataclass(frozen=True)
class Study:
    """What one run learnt.

    Attributes:
        untrained, trained: measures of the generated images by the generator before and after.
        crop_kid, crop_spread: of the trained generator; see `preview.Preview`.
        aware_accuracy: held-out accuracy of the aware network, None where it was not measured.
        step_sec: mean seconds of a step.
        preview: the trained generator's images.
    """

    seed: int
    steps: int
    untrained: dict[str, MeasureSummary]
    trained: dict[str, MeasureSummary]
    crop_kid: float
    crop_spread: float
    aware_accuracy: float | None
    step_sec: float
    preview: Preview


def run_study(
    data: StudyData,
    view: ViewConfig,
    config: TrainConfig,
    device: torch.device,
    images: int,
    on_report: Callable[[StepReport], None] = lambda report: None,
) -> Study:
    """Train as a job on one worker would, with an aware network of the data set.

    Args:
        images: generated images that are measured.
        on_report: sees every report of the run.
    """
    source = BatchSource.of_run(data.normals, data.abnormals, data.pool, view, config)
    learnt = train_aware(replace(source, batch_size=config.aware.batch_size), config.crop, config.aware.steps, device)
    method = build_method(config, view.size, learnt.network, device)
    method.generator.exemplars = source.exemplars
    plan = GenerationPlan(data.held_out, data.pool, view, config.masks, GenerationConfig(seed=config.seed))
    previewer = Previewer(plan, source, learnt.network, config.crop, images)
    untrained = previewer.draw(method.generator)
    started = perf_counter()
    for report in loop.run(method, source):
        on_report(report)
    seconds = perf_counter() - started
    trained = previewer.draw(method.generator)
    return Study(
        config.seed,
        config.total_steps,
        _summary(untrained),
        _summary(trained),
        trained.measures["crop_kid"],
        trained.measures["crop_spread"],
        learnt.held_out_accuracy,
        seconds / config.total_steps,
        trained,
    )


def _summary(preview: Preview) -> dict[str, MeasureSummary]:
    return summarise([MaskChange(**made.sample.meta["measures"]) for made in preview.images])
