"""A study's spec and the store: detectors, version and classes, the view, and whether all arms fit together."""

from collections.abc import Sequence

from anomaly_gan.config import ViewConfig
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.arms import Arm, parse_arms
from anomaly_gan.evaluation.schedule import enough_steps
from anomaly_gan.generation.description import ModelDescription, real_of
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index
from jobs.library.known import check_real, count_views
from jobs.library.models.files import load_description
from jobs.record.context import load_spec_of
from jobs.record.manifest import load_manifest
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import WINDOW_PX, GenerateSpec, StudySpec
from jobs.study.grid import learnt_view, made_classes


def complete(resolved: ResolvedSpec[StudySpec], storage: Storage) -> ResolvedSpec[StudySpec]:
    """A study's spec with what the store knows; arguments and errors as in `jobs.kinds.complete`."""
    spec, index = resolved.spec, load_index(storage, resolved.spec.dataset)
    # first, because only a spec that was not written down yet knows which values of a detector were given
    given = spec.learners or (DetectorConfig(),)
    learners, has_steps = [one.filled_in() for one in given], ["steps" in one.model_fields_set for one in given]
    arms = parse_arms(spec.arms)
    classes = _classes(spec, index)
    dataset = f"{index.name}@{index.version}"
    models = _models(storage, arms, classes, dataset)
    resolved = resolved.changed({"dataset": dataset, "classes": classes}, "data set")
    resolved = _fill_in_real(resolved, models, index, classes)
    resolved = _fill_in_view(resolved, models, index)
    views = count_views(index, classes, resolved.spec.real, resolved.spec.view, resolved.spec.windows_per_image)
    lasting = [
        one if is_given else one.model_copy(update={"steps": enough_steps(one, views)})
        for one, is_given in zip(learners, has_steps, strict=True)
    ]
    return resolved.changed({"learners": [one.model_dump(mode="json") for one in lasting]}, "list of detectors")


def _classes(spec: StudySpec, index: DatasetIndex) -> list[str]:
    """Those that were asked for, in the order of the data set."""
    unknown = [name for name in spec.classes if name not in index.classes]
    if unknown:
        raise UsageError(
            f"classes: data set {index.name} has no class {unknown[0]!r}; it has {', '.join(index.classes)}"
        )
    return [name for name in index.classes if name in (spec.classes or index.classes)]


def _models(storage: Storage, arms: Sequence[Arm], classes: Sequence[str], dataset: str) -> dict[str, ModelDescription]:
    """Id -> model of everything that arms add.

    Raises:
        NotFoundError: a job or model that is not there, or a job that has not succeeded.
        UsageError: one makes other classes, or has seen test pictures.
    """
    models: dict[str, ModelDescription] = {}
    for arm in arms:
        made: set[str] = set()
        for job in arm.jobs:
            load_manifest(storage, job)
            where = f"arms: job {job}"
            made |= made_classes(storage, job, where).keys()
            spec = load_spec_of(GenerateSpec, storage, job, where)
            for name in (spec.model, *(one.model for one in spec.added)):
                models[name] = load_description(storage, name)
        lacking = [name for name in classes if name not in made]
        if arm.jobs and (len(lacking) == len(classes) or (lacking and not arm.has_real)):
            raise UsageError(
                f"arms: {arm.name}: has no pictures of {', '.join(lacking)}; join a job of each class"
                " (generated:JOB_A,JOB_B), or name the classes with --class"
            )
    for name, model in models.items():
        its = model.record["dataset"]
        if its != dataset and its.partition("@")[0] == dataset.partition("@")[0]:
            raise UsageError(
                f"dataset: model {name} was trained on {its}, and {dataset} may split otherwise, so that its test"
                f" images taught the model; use {its}"
            )
    return models


def _fill_in_real(
    resolved: ResolvedSpec[StudySpec],
    models: dict[str, ModelDescription],
    index: DatasetIndex,
    classes: Sequence[str],
) -> ResolvedSpec[StudySpec]:
    """As many real pictures for every arm as the models have learnt from, those of other data sets left aside."""
    real = resolved.spec.real
    own = {name: model for name, model in models.items() if model.record["dataset"] == resolved.spec.dataset}
    taught = {real_of(model.record) for model in own.values()}
    if real is None and len(taught) > 1:
        numbers = ", ".join(sorted(str(one or "all") for one in taught))
        raise UsageError(
            f"arms: their models have learnt from different numbers of pictures ({numbers}); use one of them"
        )
    if real is None and taught:
        resolved = resolved.changed({"real": taught.pop()}, "model")
    else:
        for name, model in own.items():
            if real_of(model.record) != real:
                its = real_of(model.record) or "all"
                raise UsageError(
                    f"real: {real}, but model {name} has learnt from {its} anomalous pictures; train one with --real"
                    f" {real}, so that all arms know the same ones"
                )
    if resolved.spec.real is not None:
        check_real(resolved.spec.real, index, classes)
    return resolved


def _fill_in_view(
    resolved: ResolvedSpec[StudySpec], models: dict[str, ModelDescription], index: DatasetIndex
) -> ResolvedSpec[StudySpec]:
    """The models' view, else the data set's, both as windows where they are large, unless the user names one."""
    views = [model.view for model in models.values()] or [_view_of(index)]
    view, source = learnt_view(views).model_dump(mode="json"), "model" if models else "data set"
    resolved = resolved.filled_in({f"view.{key}": value for key, value in view.items()}, source)
    view_px, smallest = resolved.spec.view.size, min(one.size for one in views)
    if models and view_px > smallest:
        raise UsageError(f"view.size: {view_px} px, but a model of the arms makes images of {smallest} px; use that")
    if resolved.spec.view.kind == "whole" and view_px != index.resolution:
        raise UsageError(f"view: whole pictures of {view_px} px, but data set {index.name} has others; use --window")
    return resolved


def _view_of(index: DatasetIndex) -> ViewConfig:
    """Whole pictures where these are small and of a size that a view can have, else windows."""
    if index.resolution in (64, WINDOW_PX):
        return ViewConfig(size=index.resolution)
    return ViewConfig(kind="window", size=WINDOW_PX)
