"""What a training takes from its data set: version, grey and the size of a whole view; train and tune jobs share it."""

from typing import Any, TypeVar

from anomaly_gan.methods import find_method
from anomaly_gan.networks.generator import check_view
from anomaly_gan.training.joining import check_ranks
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index
from jobs.library.known import check_real
from jobs.library.maskpools.fill_in import check_rationality, fill_in_pool
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import TrainingSpec

Spec = TypeVar("Spec", bound=TrainingSpec)

PAPER_EPOCHS = 1000
"""Times that the preset `paper` shows each training image of the class."""
AUGMENTATION_FOR_EACH, MOST_AUGMENTATION = 0.01, 0.5
"""Probability of changing what the discriminators see, for each time that a picture is shown; and the largest."""


def fill_in_training(resolved: ResolvedSpec[Spec], storage: Storage) -> ResolvedSpec[Spec]:
    """The spec with what its data set and mask pool know, checked against them.

    Raises:
        NotFoundError: the data set or the pool is not there.
        UsageError: an unknown method, or a class, view, batch or rule that does not fit.
    """
    resolved = _fill_in_method(resolved)
    spec, index = resolved.spec, load_index(storage, resolved.spec.dataset)
    if spec.class_name not in index.classes:
        raise UsageError(
            f"class_name: {spec.class_name!r} is not in data set {index.name}; it has {', '.join(index.classes)}"
        )
    changes: dict[str, Any] = {"dataset": f"{index.name}@{index.version}"}
    if "train.model.gray" not in resolved.sources:
        changes["train.model.gray"] = index.gray
    pictures = index.counts["train"].get(spec.class_name, 0)
    if spec.real is not None:
        check_real(spec.real, index, [spec.class_name])
        pictures = spec.real
    if resolved.sources.get("train.total_images") == "preset paper" and pictures:
        changes["train.total_images"] = PAPER_EPOCHS * pictures
    if "train.augment.probability" not in resolved.sources and pictures:
        changes["train.augment.probability"] = _augmentation(spec.train.total_images / pictures)
    if spec.view.kind == "whole" and index.resolution is None:
        raise UsageError(
            f"view: data set {index.name} keeps native sizes, which differ; see it through windows (--window 128)"
        )
    if spec.view.kind == "whole" and "view.size" not in resolved.sources:
        changes["view.size"] = index.resolution
    completed = resolved.changed(changes, "data set")
    if spec.mask_pool is not None:
        completed = fill_in_pool(completed, spec.mask_pool, spec.class_name, index, "train.masks", storage)
    checked = completed.spec
    check_rationality(checked.train.masks, checked.mask_pool, checked.class_name, "train.masks", storage)
    if checked.view.kind == "whole" and checked.view.size != index.resolution:
        raise UsageError(
            f"view.size: {checked.view.size} px, data set {index.name} is {index.resolution} px; use that, or --window"
        )
    check_ranks(checked.train, checked.resources.workers)
    check_view(checked.train.model, checked.view.size)
    return completed


def _augmentation(shown: float) -> float:
    """Probability of each change, of pictures that are shown so often: those are learnt by heart."""
    return round(min(shown * AUGMENTATION_FOR_EACH, MOST_AUGMENTATION), 3)


def _fill_in_method(resolved: ResolvedSpec[Spec]) -> ResolvedSpec[Spec]:
    """Values that the method has in place of Anomaly-GAN's, where neither the user nor a preset gives any."""
    name = resolved.spec.train.method
    defaults = {f"train.{key}": value for key, value in find_method(name).defaults.items()}
    return resolved.filled_in(defaults, f"method {name}")
