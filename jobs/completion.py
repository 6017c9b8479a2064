"""A resolved spec and the store: what only the store knows is filled in, and every name is checked against it."""

from typing import Any

import torch
from pydantic import ValidationError

from anomaly_gan.config import MaskConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.generation.memory import images_within
from anomaly_gan.generation.snapshot import Snapshot
from anomaly_gan.networks.generator import check_view
from anomaly_gan.samples.index import DatasetIndex
from anomaly_gan.training.joining import check_ranks
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.generate.mix import check_mix
from jobs.library.datasets.store import load_index
from jobs.library.maskpools.store import check_pool, full_name, load_pool_index
from jobs.library.models.store import load_model
from jobs.record.context import load_spec
from jobs.record.manifest import load_manifest
from jobs.record.status import job_key
from jobs.spec.resolve import ResolvedSpec
from jobs.spec.specs import AddedModel, EvaluateSpec, GenerateSpec, JobSpec, TrainSpec, TuneSpec
from jobs.train.checkpoints import CheckpointStore

CHANGES_NOTHING: Any = {
    "resume": True,
    "resources": True,
    "train": {"compute", "log_every_steps", "sample_every_steps", "checkpoint_every_steps"},
}
"""What a run that goes on from another's checkpoint may change."""
PAPER_EPOCHS = 1000
"""Times that the preset `paper` shows each training image of the class."""


def complete(resolved: ResolvedSpec, storage: Storage) -> ResolvedSpec:
    """Fill in what only the store knows (version, view, grey), and check every name against it.

    Raises:
        NotFoundError: a data set, model or job that is not there.
        UsageError: a class, view or batch that does not fit.
    """
    spec = resolved.spec
    if isinstance(spec, TrainSpec | TuneSpec):
        completed = _complete_training(resolved, load_index(storage, spec.dataset), storage)
        if isinstance(completed.spec, TrainSpec) and completed.spec.resume is not None:
            _check_resume(completed.spec, completed.spec.resume, storage)
        return completed
    if isinstance(spec, GenerateSpec):
        return _complete_generation(resolved, storage)
    return _complete_evaluation(resolved, load_index(storage, spec.dataset), storage)


def _complete_generation(resolved: ResolvedSpec, storage: Storage) -> ResolvedSpec:
    """Each model's mask pool and rules, and the images of a forward pass."""
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec)
    first = load_model(storage, spec.model, torch.device("cpu"))
    models = [first, *(load_model(storage, one.model, torch.device("cpu")) for one in spec.added)]
    check_mix(spec, models)
    added = [one if one.model_fields_set > {"model"} else _alone(resolved, one, storage) for one in spec.added]
    resolved = _complete_placing(resolved, first, storage)
    if added:
        resolved = _changed(resolved, {"added": [one.model_dump(mode="json") for one in added]}, "model")
    if "generation.batch_size" in resolved.sources:
        return resolved
    memory = spec.generation.memory_gib * 2**30
    fitting = min(images_within(memory, model.config.model, model.view.size) for model in models)
    return _changed(resolved, {"generation.batch_size": fitting}, "memory")


def _alone(resolved: ResolvedSpec, one: AddedModel, storage: Storage) -> AddedModel:
    """A further model with the pool and rules that it would have in a job of its own."""
    spec = resolved.spec.model_copy(update={"model": one.model, "added": ()})
    completed = _complete_placing(
        ResolvedSpec(spec, resolved.sources), load_model(storage, one.model, torch.device("cpu")), storage
    ).spec
    assert isinstance(completed, GenerateSpec)
    return AddedModel(model=one.model, mask_pool=completed.mask_pool, masks=completed.masks)


def _complete_placing(resolved: ResolvedSpec, snapshot: Snapshot, storage: Storage) -> ResolvedSpec:
    """The mask pool and the rules of placement: as given, else the pool's where one is named, else the model's."""
    spec = resolved.spec
    assert isinstance(spec, GenerateSpec)
    index = load_index(storage, snapshot.record["dataset"])
    if spec.mask_pool is not None:
        resolved = _with_pool(resolved, spec.mask_pool, snapshot.class_name, index, "masks", storage)
    else:
        pool = snapshot.record.get("mask_pool")
        if pool is not None:
            load_pool_index(storage, pool)
        changes = {"mask_pool": pool, **_rules(resolved, "masks", snapshot.config.masks)}
        resolved = _changed(resolved, changes, "model")
    checked = resolved.spec
    assert isinstance(checked, GenerateSpec)
    _check_rationality(checked.masks, checked.mask_pool, snapshot.class_name, "masks", storage)
    return resolved


def _with_pool(
    resolved: ResolvedSpec, pool: str, class_name: str, dataset: DatasetIndex, section: str, storage: Storage
) -> ResolvedSpec:
    """Name the pool's version, and take its rules where the user gives none."""
    index = load_pool_index(storage, pool)
    check_pool(index, class_name, dataset)
    rules = _rules(resolved, section, index.classes[class_name].rules)
    return _changed(resolved, {"mask_pool": full_name(index), **rules}, "mask pool")


def _rules(resolved: ResolvedSpec, section: str, rules: MaskConfig) -> dict[str, Any]:
    """Dotted key -> value of every rule that the user has not given."""
    keys = {f"{section}.{name}": value for name, value in rules.model_dump(mode="json").items()}
    return {key: value for key, value in keys.items() if key not in resolved.sources}


def _check_rationality(masks: MaskConfig, pool: str | None, class_name: str, section: str, storage: Storage) -> None:
    """Refuse to weigh placements by what nothing was learnt of."""
    if masks.rationality and (pool is None or load_pool_index(storage, pool).classes[class_name].rationality is None):
        raise UsageError(
            f"{section}.rationality: nothing is known of where class {class_name} lies; build a mask pool with"
            " `agan masks build` and name it with --mask-pool, or set it to 0"
        )


def _complete_evaluation(resolved: ResolvedSpec, index: DatasetIndex, storage: Storage) -> ResolvedSpec:
    spec = resolved.spec
    assert isinstance(spec, EvaluateSpec)
    find_detector(spec.detector.name)
    load_manifest(storage, spec.generated)
    made_by = load_spec(storage, spec.generated)
    if not isinstance(made_by, GenerateSpec):
        raise UsageError(f"generated: job {spec.generated} is a {made_by.kind} job; name a generate job")
    if made_by.added:
        raise UsageError(
            f"generated: job {spec.generated} mixes classes, and an evaluation knows one; name a job of one model"
        )
    snapshot = load_model(storage, made_by.model, torch.device("cpu"))
    class_name, wanted = snapshot.class_name, f"{index.name}@{index.version}"
    if class_name not in index.classes:
        raise UsageError(
            f"dataset: {index.name} has no class {class_name!r}, which job {spec.generated} made;"
            f" it has {', '.join(index.classes)}"
        )
    if wanted != snapshot.record["dataset"] and index.name == snapshot.record["dataset"].partition("@")[0]:
        raise UsageError(
            f"dataset: model {made_by.model} was trained on {snapshot.record['dataset']}, and {wanted} may split"
            f" otherwise, so that its test images taught the model; use {snapshot.record['dataset']}"
        )
    return _changed(resolved, {"dataset": wanted}, "data set")


def _complete_training(resolved: ResolvedSpec, index: DatasetIndex, storage: Storage) -> ResolvedSpec:
    spec = resolved.spec
    assert isinstance(spec, TrainSpec | TuneSpec)
    if spec.class_name not in index.classes:
        raise UsageError(
            f"class_name: {spec.class_name!r} is not in data set {index.name}; it has {', '.join(index.classes)}"
        )
    changes: dict[str, Any] = {"dataset": f"{index.name}@{index.version}"}
    if "train.model.gray" not in resolved.sources:
        changes["train.model.gray"] = index.gray
    pictures = index.counts["train"].get(spec.class_name, 0)
    if resolved.sources.get("train.total_images") == "preset paper" and pictures:
        changes["train.total_images"] = PAPER_EPOCHS * pictures
    if spec.view.kind == "whole" and index.resolution is None:
        raise UsageError(
            f"view: data set {index.name} keeps native sizes, which differ; see it through windows (--window 128)"
        )
    if spec.view.kind == "whole" and "view.size" not in resolved.sources:
        changes["view.size"] = index.resolution
    completed = _changed(resolved, changes, "data set")
    if spec.mask_pool is not None:
        completed = _with_pool(completed, spec.mask_pool, spec.class_name, index, "train.masks", storage)
    checked = completed.spec
    assert isinstance(checked, TrainSpec | TuneSpec)
    _check_rationality(checked.train.masks, checked.mask_pool, checked.class_name, "train.masks", storage)
    if checked.view.kind == "whole" and checked.view.size != index.resolution:
        raise UsageError(
            f"view.size: {checked.view.size} px, data set {index.name} is {index.resolution} px; use that, or --window"
        )
    check_ranks(checked.train, checked.resources.workers)
    check_view(checked.train.model, checked.view.size)
    return completed


def _check_resume(spec: TrainSpec, job_id: str, storage: Storage) -> None:
    """Refuse to go on from a job whose checkpoints are not of this run."""
    earlier = load_spec(storage, job_id)
    if not isinstance(earlier, TrainSpec):
        raise UsageError(f"resume: job {job_id} is a {earlier.kind} job; name a train job")
    if CheckpointStore(storage, job_key(job_id, "checkpoints")).latest_step() is None:
        raise UsageError(f"resume: job {job_id} has no checkpoint; leave it out to start anew")
    mine, its = (item.model_dump(mode="json", exclude=CHANGES_NOTHING) for item in (spec, earlier))
    if mine != its:
        raise UsageError(
            f"resume: {_first_difference(mine, its)} differs from job {job_id}'s; only resources, train.compute and"
            " the steps between reports may change"
        )


def _first_difference(mine: dict[str, Any], its: dict[str, Any]) -> str:
    key = next(key for key in mine if mine[key] != its[key])
    if isinstance(mine[key], dict) and isinstance(its[key], dict):
        return f"{key}.{_first_difference(mine[key], its[key])}"
    return key


def _changed(resolved: ResolvedSpec, changes: dict[str, Any], source: str) -> ResolvedSpec:
    tree = resolved.spec.model_dump(mode="json")
    for key, value in changes.items():
        *parents, leaf = key.split(".")
        section = tree
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    try:
        spec: JobSpec = type(resolved.spec).model_validate(tree)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}") from err
    return ResolvedSpec(spec, {**resolved.sources, **dict.fromkeys(changes, source)})
