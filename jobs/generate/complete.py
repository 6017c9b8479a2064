"""A generate job's spec and the store: each model's mask pool and rules, and the images of a forward pass."""

from collections.abc import Sequence

from anomaly_gan.generation.description import ModelDescription
from anomaly_gan.generation.memory import images_within
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index
from jobs.library.maskpools.fill_in import check_rationality, fill_in_pool, rules_not_given
from jobs.library.maskpools.store import load_pool_index
from jobs.library.models.files import load_description
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import AddedModel, GenerateSpec


def complete(resolved: ResolvedSpec[GenerateSpec], storage: Storage) -> ResolvedSpec[GenerateSpec]:
    """A generate job's spec with what the store knows; arguments and errors as in `jobs.kinds.complete`."""
    spec = resolved.spec
    first, *further = (load_description(storage, name) for name in (spec.model, *(one.model for one in spec.added)))
    _check_mix(spec, [first, *further])
    added = [
        one if one.model_fields_set > {"model"} else _alone(resolved, one.model, model, storage)
        for one, model in zip(spec.added, further, strict=True)
    ]
    resolved = _fill_in_placing(resolved, first, storage)
    if added:
        resolved = resolved.changed({"added": [one.model_dump(mode="json") for one in added]}, "model")
    if "generation.batch_size" in resolved.sources:
        return resolved
    memory = spec.generation.memory_gib * 2**30
    fitting = min(images_within(memory, model.config.model, model.view.size) for model in (first, *further))
    return resolved.changed({"generation.batch_size": fitting}, "memory")


def _alone(resolved: ResolvedSpec[GenerateSpec], name: str, model: ModelDescription, storage: Storage) -> AddedModel:
    """A further model with the pool and rules that it would have in a job of its own."""
    spec = resolved.spec.model_copy(update={"model": name, "added": ()})
    completed = _fill_in_placing(ResolvedSpec(spec, resolved.sources), model, storage).spec
    return AddedModel(model=name, mask_pool=completed.mask_pool, masks=completed.masks)


def _fill_in_placing(
    resolved: ResolvedSpec[GenerateSpec], model: ModelDescription, storage: Storage
) -> ResolvedSpec[GenerateSpec]:
    """The mask pool and the rules of placement: as given, else the pool's where one is named, else the model's."""
    spec, index = resolved.spec, load_index(storage, model.record["dataset"])
    if spec.mask_pool is not None:
        resolved = fill_in_pool(resolved, spec.mask_pool, model.class_name, index, "masks", storage)
    else:
        pool = model.record.get("mask_pool")
        if pool is not None:
            load_pool_index(storage, pool)  # refuses a pool that is gone
        rules = rules_not_given(resolved, "masks", model.config.masks)
        resolved = resolved.changed({"mask_pool": pool, **rules}, "model")
    check_rationality(resolved.spec.masks, resolved.spec.mask_pool, model.class_name, "masks", storage)
    return resolved


def _check_mix(spec: GenerateSpec, models: Sequence[ModelDescription]) -> None:
    """Refuse further models that cannot add to the pictures of the first.

    Args:
        models: the first and the further ones, in the spec's order.

    Raises:
        UsageError: another data set or view, a class twice, or windows that are no whole pictures.
    """
    first, names = models[0], [spec.model, *(one.model for one in spec.added)]
    for name, model in zip(names[1:], models[1:], strict=True):
        for what, its, wanted in (
            ("was trained on", model.record["dataset"], first.record["dataset"]),
            ("sees", _view_in_words(model), _view_in_words(first)),
        ):
            if its != wanted:
                raise UsageError(
                    f"added: model {name} {what} {its}, the first model {what} {wanted}; mix models that agree"
                )
    classes = [model.class_name for model in models]
    twice = next((name for name in classes if classes.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"added: two models make class {twice}; for several of one class set masks.max_parts")
    if spec.added and first.view.kind == "window" and spec.generation.output != "frame":
        raise UsageError(
            "generation.output: models of windows put their anomalies anywhere in a picture; to mix them add"
            " --output frame"
        )


def _view_in_words(model: ModelDescription) -> str:
    kind = "windows" if model.view.kind == "window" else "whole pictures"
    return f"{kind} of {model.view.size} px"
