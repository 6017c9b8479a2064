"""The evaluate job: image measures against an untrained generator, detectors on several arms, one HTML report."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch

from anomaly_gan.drawing.grids import sample_grid
from anomaly_gan.evaluation.arms import GENERATED, titles
from anomaly_gan.evaluation.comparison import CellProgress, Comparison, compare_arms
from anomaly_gan.evaluation.likeness import Likeness, mean_level, measure_likeness, painted_flat
from anomaly_gan.evaluation.material import Material
from anomaly_gan.evaluation.preview import to_row
from anomaly_gan.generation.description import real_of
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.generation.snapshot import Snapshot
from anomaly_gan.metrics.features.network import load_features
from anomaly_gan.metrics.mask_change import MaskChange, summarise
from anomaly_gan.metrics.perceptual import LpipsScore, Unavailable, ic_lpips, load_lpips, lpips_real
from anomaly_gan.networks.generator import Generator, build_generator
from anomaly_gan.reports.evaluation import Absent, MeasureTable, render_report
from anomaly_gan.samples.sample import Sample, encode_png
from jobs.evaluate.report_facts import report_data
from jobs.evaluate.sets import load_material
from jobs.library.models.store import load_model
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext, context_from_plain, load_spec_of
from jobs.record.manifest import OutputWriter
from jobs.record.progress import ProgressReporter
from jobs.spec.specs import EvaluateSpec, GenerateSpec

GRID_ROWS = 8


def evaluate(context: JobContext[EvaluateSpec]) -> None:
    """Do all the work in one task on a worker node, then make the results visible."""
    resources = context.spec.resources
    task = ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_retries=2)(_work)
    ray.get(task.remote(context.to_plain()))
    outputs = OutputWriter(context.storage, context.job_id)
    outputs.add_written("")
    outputs.commit()


def _work(raw: dict[str, Any]) -> None:
    context = context_from_plain(raw, EvaluateSpec)
    spec = context.spec
    torch.set_num_threads(spec.resources.cpus_per_worker)
    device = "cuda" if spec.resources.gpus_per_worker else "cpu"
    reporter, outputs = context.reporter(), OutputWriter(context.storage, context.job_id)
    made_by = load_spec_of(GenerateSpec, context.storage, spec.generated, f"generated: job {spec.generated}")
    snapshot = load_model(context.storage, made_by.model, torch.device(device))

    trained, untrained = _measured_images(context, spec, made_by, snapshot, reporter)
    measures = MeasureTable(_summary(trained), _summary(untrained))
    material = load_material(context.storage, spec, made_by, snapshot)
    lpips = _perceptual(context, material, device)
    likeness = _likeness(context, material, made_by, trained, untrained, device)
    comparison = _compare(context, material, device, reporter)

    rows = [to_row(one) for one in trained[:GRID_ROWS]]
    outputs.write("grid.png", encode_png(sample_grid(rows)))
    page = render_report(report_data(context, made_by.model, snapshot, rows, measures, likeness, lpips, comparison))
    outputs.write("report.html", page.encode())
    figures = {
        "measures": {"trained": measures.trained, "untrained": measures.untrained},
        "lpips": {"unavailable": lpips.reason} if isinstance(lpips, Absent) else [asdict(score) for score in lpips],
        "likeness": likeness.model_dump(mode="json"),
        "detectors": comparison.model_dump(mode="json"),
    }
    outputs.write("evaluation.json", json.dumps(figures, indent=1).encode())


def _measured_images(
    context: JobContext[EvaluateSpec],
    spec: EvaluateSpec,
    made_by: GenerateSpec,
    snapshot: Snapshot,
    reporter: ProgressReporter,
) -> tuple[list[Generated], list[Generated]]:
    """The first images of the generate job made again, and the same by a generator that has learnt nothing."""
    split = load_training_split(
        context.storage,
        snapshot.record["dataset"],
        snapshot.class_name,
        made_by.mask_pool,
        real_of(snapshot.record),
    )
    plan = split.plan(snapshot.view, made_by.masks, made_by.generation)
    device = next(snapshot.generator.parameters()).device
    torch.manual_seed(snapshot.config.seed)
    blank = build_generator(snapshot.config.model).to(device).eval()
    count, size = min(spec.measured_images, made_by.count), made_by.generation.batch_size

    def make(generator: Generator, phase: str) -> list[Generated]:
        images: list[Generated] = []
        for start in range(0, count, size):
            images += generate(plan, range(start, min(start + size, count)), generator)
            reporter.update(phase, len(images), count, "images")
        return images

    return make(snapshot.generator, "measuring, trained"), make(blank, "measuring, untrained")


def _summary(images: list[Generated]) -> dict[str, Any]:
    return dict(summarise([MaskChange(**one.sample.meta["measures"]) for one in images]))


def _perceptual(context: JobContext[EvaluateSpec], material: Material, device: str) -> list[LpipsScore] | Absent:
    model = load_lpips(_weights_folder(context), device)
    if isinstance(model, Unavailable):
        return Absent(model.reason)
    real = [sample.image for sample in material.real]
    generated = [sample.image for sample in material.added[GENERATED + context.spec.generated]]
    seed = context.spec.detector.seed
    return [lpips_real(model, generated, real, seed=seed), ic_lpips(model, generated, seed=seed)]


def _likeness(
    context: JobContext[EvaluateSpec],
    material: Material,
    made_by: GenerateSpec,
    trained: Sequence[Generated],
    untrained: Sequence[Generated],
    device: str,
) -> Likeness:
    """Generated anomalies, real ones of the training split, and deliberate fakes, beside the test split's."""
    network = load_features(context.spec.features, _weights_folder(context), device=device)
    [name], real = material.classes, list({sample.key: sample for sample in material.real}.values())
    sets: dict[str, Sequence[Sample]] = {
        "real, training split": real,
        **{source.partition(":")[0].replace("_", "-"): samples for source, samples in material.added.items()},
        "untrained generator": [one.sample for one in untrained],
        "flat painter": painted_flat(trained, mean_level(real, name), name, made_by.generation.feather_px),
    }
    return measure_likeness(network, material.test, sets, name, seed=context.spec.detector.seed)


def _compare(
    context: JobContext[EvaluateSpec], material: Material, device: str, reporter: ProgressReporter
) -> Comparison:
    def report(progress: CellProgress) -> None:
        done = (progress.cell - 1) * progress.steps + progress.step
        phase = f"detector on {titles([progress.arm])[progress.arm]}, seed {progress.seed}"
        reporter.update(phase, done, progress.cells * progress.steps, "steps", values={"detector_loss": progress.loss})
        if progress.step % 20 == 0 or progress.step == progress.steps:
            print(f"{phase}: step {progress.step}/{progress.steps}, loss {progress.loss:.3f}", flush=True)

    spec = context.spec
    return compare_arms(
        spec.arm_texts(),
        spec.seeds,
        material,
        spec.detector,
        device=device,
        weights_folder=_weights_folder(context),
        on_progress=report,
    )


def _weights_folder(context: JobContext[EvaluateSpec]) -> Path | None:
    return Path(context.settings.weights) if context.settings.weights else None
