"""An evaluate job's spec and the store: the data set's version, and whether it fits the images that are evaluated."""

from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.evaluation.arms import parse_arms
from anomaly_gan.evaluation.schedule import enough_steps
from anomaly_gan.generation.description import ModelDescription, real_of
from anomaly_gan.metrics.features.features import find_features
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index
from jobs.library.known import count_views
from jobs.library.models.files import load_description
from jobs.record.context import load_spec_of
from jobs.record.manifest import load_manifest
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import EvaluateSpec, GenerateSpec
from jobs.study.grid import learnt_view

LIST = "list of detectors"
"""Where values come from that a detector has otherwise than Mask R-CNN."""


def complete(resolved: ResolvedSpec[EvaluateSpec], storage: Storage) -> ResolvedSpec[EvaluateSpec]:
    """An evaluate job's spec with what the store knows; arguments and errors as in `jobs.kinds.complete`."""
    resolved = _fill_in_detector(resolved)
    spec, index = resolved.spec, load_index(storage, resolved.spec.dataset)
    find_features(spec.features)
    parse_arms(spec.arm_texts())
    load_manifest(storage, spec.generated)
    made_by = load_spec_of(GenerateSpec, storage, spec.generated, f"generated: job {spec.generated}")
    if made_by.added:
        raise UsageError(
            f"generated: job {spec.generated} mixes classes, and an evaluation knows one; name a job of one model"
        )
    model = load_description(storage, made_by.model)
    class_name, wanted = model.class_name, f"{index.name}@{index.version}"
    if class_name not in index.classes:
        raise UsageError(
            f"dataset: {index.name} has no class {class_name!r}, which job {spec.generated} made;"
            f" it has {', '.join(index.classes)}"
        )
    if wanted != model.record["dataset"] and index.name == model.record["dataset"].partition("@")[0]:
        raise UsageError(
            f"dataset: model {made_by.model} was trained on {model.record['dataset']}, and {wanted} may split"
            f" otherwise, so that its test images taught the model; use {model.record['dataset']}"
        )
    resolved = resolved.changed({"dataset": wanted}, "data set")
    if wanted != model.record["dataset"]:
        return _fill_in_steps(resolved, index, model)
    taught = real_of(model.record)
    if spec.real not in (None, taught):
        raise UsageError(
            f"real: {spec.real}, but model {made_by.model} has learnt from {taught or 'all'} anomalous pictures; leave"
            f" it away, or train a model with --real {spec.real}"
        )
    return _fill_in_steps(resolved.changed({"real": taught}, "model"), index, model)


def _fill_in_detector(resolved: ResolvedSpec[EvaluateSpec]) -> ResolvedSpec[EvaluateSpec]:
    """What the detector has otherwise than Mask R-CNN, where the user says nothing."""
    name = resolved.spec.detector.name
    defaults = {f"detector.{key}": value for key, value in find_detector(name).defaults.items()}
    return resolved.filled_in(defaults, LIST)


def _fill_in_steps(
    resolved: ResolvedSpec[EvaluateSpec], index: DatasetIndex, model: ModelDescription
) -> ResolvedSpec[EvaluateSpec]:
    """More steps where there are many real views, unless the user says how many."""
    spec = resolved.spec
    if resolved.sources.get("detector.steps", LIST) != LIST:
        return resolved
    view = learnt_view([model.view], spec.window_px)
    views = count_views(index, [model.class_name], spec.real, view, spec.windows_per_image)
    steps = enough_steps(spec.detector, views)
    return resolved.changed({"detector.steps": steps}, "data set") if steps != spec.detector.steps else resolved
