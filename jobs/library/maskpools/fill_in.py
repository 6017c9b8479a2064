"""What a mask pool fills into a spec: its version, and its rules of placement where the user gives none."""

from typing import Any, TypeVar

from anomaly_gan.config import MaskConfig
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.maskpools.store import check_pool, full_name, load_pool_index
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import JobSpec

Spec = TypeVar("Spec", bound=JobSpec)


def fill_in_pool(
    resolved: ResolvedSpec[Spec], pool: str, class_name: str, dataset: DatasetIndex, section: str, storage: Storage
) -> ResolvedSpec[Spec]:
    """Name the pool's version, and take its rules where the user gives none.

    Args:
        pool: NAME or NAME@version.
        dataset: what the job sees; the pool must have been built from it.
        section: dotted key of the rules: `masks` or `train.masks`.

    Raises:
        NotFoundError: there is no such pool.
        UsageError: it has not this class, was built from something else, or its rules contradict the user's.
    """
    index = load_pool_index(storage, pool)
    check_pool(index, class_name, dataset)
    rules = rules_not_given(resolved, section, index.classes[class_name].rules)
    return resolved.changed({"mask_pool": full_name(index), **rules}, "mask pool")


def rules_not_given(resolved: ResolvedSpec[JobSpec], section: str, rules: MaskConfig) -> dict[str, Any]:
    """Dotted key -> value of every rule that the user has not given."""
    keys = {f"{section}.{name}": value for name, value in rules.model_dump(mode="json").items()}
    return {key: value for key, value in keys.items() if key not in resolved.sources}


def check_rationality(masks: MaskConfig, pool: str | None, class_name: str, section: str, storage: Storage) -> None:
    """Refuse to weigh placements by what nothing was learnt of.

    Raises:
        UsageError: `rationality` is above 0, and there is no pool, or one that knows nothing of places.
    """
    if masks.rationality and (pool is None or load_pool_index(storage, pool).classes[class_name].rationality is None):
        raise UsageError(
            f"{section}.rationality: nothing is known of where class {class_name} lies; build a mask pool with"
            " `agan masks build` and name it with --mask-pool, or set it to 0"
        )
