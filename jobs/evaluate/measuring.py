"""What an evaluation knows of images without any detector: beside real ones, deliberate fakes, and first weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from anomaly_gan.config import ViewConfig
from anomaly_gan.drawing.grids import GridRow
from anomaly_gan.evaluation.arms import COPY_PASTE, parse_arm, parse_arms
from anomaly_gan.evaluation.beside import Beside, beside_real
from anomaly_gan.evaluation.feature_map import FeatureMap, measure_map
from anomaly_gan.evaluation.likeness import Likeness, crop_features, mean_level, measure_likeness, painted_flat
from anomaly_gan.evaluation.material import Material
from anomaly_gan.evaluation.perceptual import TRAINING, Perceptual, measure_perceptual
from anomaly_gan.evaluation.preview import to_row
from anomaly_gan.evaluation.realism import RealismTable, Shown, painted_sets, realism_table, shown_of
from anomaly_gan.generation.description import real_of
from anomaly_gan.generation.gate import learn_gate
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.generation.snapshot import Snapshot
from anomaly_gan.metrics.features.network import load_features
from anomaly_gan.metrics.mask_change import MaskChange, summarise
from anomaly_gan.metrics.perceptual import PerceptualNetwork, Unavailable, load_lpips, load_shift_tolerant
from anomaly_gan.networks.generator import Generator, build_generator
from anomaly_gan.reports.data import Absent, MeasureTable
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import take_view
from infra.errors import DataError, NotFoundError
from jobs.library.models.store import load_model
from jobs.library.training_split import load_training_split
from jobs.record.context import JobContext, context_from_plain, load_spec_of
from jobs.record.progress import ProgressReporter
from jobs.spec.specs import EvaluateSpec, GenerateSpec
from jobs.study.cells import weights_folder
from jobs.study.grid import Grid, grid_of_evaluation
from jobs.study.material import StoredMaterial
from jobs.train.features import load_stages

GRID_ROWS = 8

FLAT, PASTED, GENERATED, UNTRAINED = "flat painter", "copy-paste", "generated", "untrained generator"

MOST_STAGES = 3
"""Checkpoints of the training in the map of features."""

VIEW_STREAM = 10
"""Number of this use of chance; each use has its own."""
MOST_NORMALS = 64
"""Normal pictures that what lies behind an anomaly is measured with."""


@dataclass(frozen=True)
class Measured:
    """What is known of the images without any detector.

    Attributes:
        rows: the first images.
    """

    rows: list[GridRow]
    beside: Mapping[str, Sequence[Beside]]
    measures: MeasureTable
    realism: RealismTable
    likeness: Likeness
    feature_map: FeatureMap | Absent
    perceptual: Perceptual


def measure(raw: dict[str, Any]) -> Measured:
    """In a task on a worker node.

    Args:
        raw: `JobContext.to_plain` of an evaluate job.
    """
    context = context_from_plain(raw, EvaluateSpec)
    spec = context.spec
    torch.set_num_threads(spec.resources.cpus_per_worker)
    device = "cuda" if spec.resources.gpus_per_worker else "cpu"
    made_by = load_spec_of(GenerateSpec, context.storage, spec.generated, f"generated: job {spec.generated}")
    snapshot = load_model(context.storage, made_by.model, torch.device(device))
    trained, untrained = _measured_images(context, made_by, snapshot, context.reporter())
    material = _material(context, grid_of_evaluation(context.storage, spec))
    perceptual = load_shift_tolerant(device)
    likeness, feature_map = _likeness(context, material, made_by, trained, untrained, device)
    return Measured(
        rows=[to_row(one) for one in trained[:GRID_ROWS]],
        beside=beside_real(perceptual, material.added[GENERATED], material.test, material.classes[0]),
        measures=MeasureTable(_summary(trained), _summary(untrained)),
        realism=_realism(context, material, made_by, snapshot, trained, untrained),
        likeness=likeness,
        feature_map=feature_map,
        perceptual=_perceptual(context, material, trained, made_by, perceptual),
    )


def _material(context: JobContext[EvaluateSpec], grid: Grid) -> Material:
    """Of all arms, what is added by its name in a report; the generated images are always among it."""
    spec, stored = context.spec, StoredMaterial(context.storage, grid)
    generated = parse_arm(f"generated:{spec.generated}")
    pasted = [arm for arm in parse_arms(spec.arm_texts()) if arm.source == COPY_PASTE]
    added = {arm.stream.replace("_", "-"): stored.of(arm).added_to(arm) for arm in (generated, *pasted[:1])}
    return replace(stored.of(generated), added=added)


def _measured_images(
    context: JobContext[EvaluateSpec], made_by: GenerateSpec, snapshot: Snapshot, reporter: ProgressReporter
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
    count, size = min(context.spec.measured_images, made_by.count), made_by.generation.batch_size

    def make(generator: Generator, phase: str) -> list[Generated]:
        images: list[Generated] = []
        for start in range(0, count, size):
            images += generate(plan, range(start, min(start + size, count)), generator)
            reporter.update(phase, len(images), count, "images")
        return images

    return make(snapshot.generator, "measuring, trained"), make(blank, "measuring, untrained")


def _summary(images: list[Generated]) -> dict[str, Any]:
    return dict(summarise([MaskChange(**one.sample.meta["measures"]) for one in images]))


def _realism(
    context: JobContext[EvaluateSpec],
    material: Material,
    made_by: GenerateSpec,
    snapshot: Snapshot,
    trained: Sequence[Generated],
    untrained: Sequence[Generated],
) -> RealismTable:
    """Views of generated and of real anomalies, and deliberate fakes, beside those of the test split."""
    [name], view, generation = material.classes, snapshot.view, made_by.generation
    dataset, real = snapshot.record["dataset"], real_of(snapshot.record)
    split = load_training_split(context.storage, dataset, name, made_by.mask_pool, real)
    gate = learn_gate(split.normals, split.abnormals, name, view, generation.quality, generation.feather_px)
    training = _viewed(split.abnormals, name, view)
    # what detectors learn from may be smaller than what the generator sees
    pasted = [one for one in material.added.get(PASTED, ()) if len(one.image) == view.size]
    sets = {
        TRAINING: [Shown(one.image, one.masks[name]) for one in training],
        **({PASTED: [Shown(one.image, one.masks[name]) for one in pasted]} if pasted else {}),
        GENERATED: shown_of(trained),
        UNTRAINED: shown_of(untrained),
        **painted_sets(trained, training, name, generation.feather_px),
    }
    test = _viewed([sample for sample in material.test if name in sample.masks], name, view)
    normals = _viewed(split.normals[:MOST_NORMALS], None, view)
    return realism_table(test, normals, sets, name, view, generation.feather_px, gate)


def _viewed(samples: Sequence[Sample], name: str | None, view: ViewConfig) -> list[Sample]:
    """A view of each, as the generator sees it."""
    return [
        take_view(sample, view, np.random.default_rng([VIEW_STREAM, number]), name)
        for number, sample in enumerate(samples)
    ]


def _perceptual(
    context: JobContext[EvaluateSpec],
    material: Material,
    trained: Sequence[Generated],
    made_by: GenerateSpec,
    network: PerceptualNetwork,
) -> Perceptual:
    """Generated anomalies beside the test split's, by the shift-tolerant distance and, with its file, by LPIPS."""
    [name], real = material.classes, _training(material)
    sets: dict[str, Sequence[Sample]] = {
        "real, test split": [sample for sample in material.test if name in sample.masks],
        **material.added,
        FLAT: _painted(trained, real, name, made_by),
    }
    lpips = load_lpips(weights_folder(context.settings), network.device.type)
    missing = [lpips.reason] if isinstance(lpips, Unavailable) else []
    networks = [network, *([] if isinstance(lpips, Unavailable) else [lpips])]
    return measure_perceptual(networks, real, sets, name, seed=context.spec.detector.seed, missing=missing)


def _training(material: Material) -> list[Sample]:
    """The real anomalous pictures of the training split, each once."""
    return list({sample.key: sample for sample in material.real}.values())


def _painted(made: Sequence[Generated], real: Sequence[Sample], name: str, made_by: GenerateSpec) -> list[Sample]:
    return painted_flat(made, mean_level(real, name), name, made_by.generation.feather_px)


def _likeness(
    context: JobContext[EvaluateSpec],
    material: Material,
    made_by: GenerateSpec,
    trained: Sequence[Generated],
    untrained: Sequence[Generated],
    device: str,
) -> tuple[Likeness, FeatureMap | Absent]:
    """Generated anomalies, real ones of the training split, and deliberate fakes, beside the test split's.

    The map also has what the generator drew at checkpoints of its training, where its job kept the same features.
    """
    network = load_features(context.spec.features, weights_folder(context.settings), device=device)
    [name], real, seed = material.classes, _training(material), context.spec.detector.seed
    sets: dict[str, Sequence[Sample]] = {
        TRAINING: real,
        **material.added,
        UNTRAINED: [one.sample for one in untrained],
        FLAT: _painted(trained, real, name, made_by),
    }
    test = crop_features(network, material.test, name, "the test split")
    found = {of: crop_features(network, samples, name, of) for of, samples in sets.items()}
    likeness = measure_likeness(test, found, seed=seed)
    stages = {
        f"after {step} steps": one
        for step, one in load_stages(context.storage, made_by.model, MOST_STAGES).items()
        if one.features.source == network.source
    }
    shown = {UNTRAINED: found[UNTRAINED], **stages, GENERATED: found[GENERATED], TRAINING: found[TRAINING]}
    try:
        return likeness, measure_map(test, shown, seed=seed)
    except (DataError, NotFoundError) as err:
        return likeness, Absent(str(err))
