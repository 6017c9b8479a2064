"""What training and generation read from the store, the same way in every process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.gate import learn_gate
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.learning.rationality_fit import fit_rationality
from anomaly_gan.masks.pool.pool import MaskPool, build_pool
from anomaly_gan.samples.sample import Sample
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.known import known_pictures
from jobs.library.maskpools.store import load_pool, load_pool_index


@dataclass(frozen=True)
class TrainingSplit:
    """The training split of one class, decoded and in memory."""

    normals: list[Sample]
    abnormals: list[Sample]
    pool: MaskPool

    def plan(self, view: ViewConfig, masks: MaskConfig, config: GenerationConfig) -> GenerationPlan:
        """A plan without a gate: it shows what a generator makes, not what is kept of it."""
        return GenerationPlan(self.normals, self.pool, view, masks, config)

    def gated_plan(self, view: ViewConfig, masks: MaskConfig, config: GenerationConfig) -> GenerationPlan:
        """A plan with the gate that the config asks for."""
        plan = self.plan(view, masks, config)
        if not config.quality.gate:
            return plan
        gate = learn_gate(self.normals, self.abnormals, self.pool.class_name, view, config.quality, config.feather_px)
        return replace(plan, gate=gate)


def load_training_split(
    storage: Storage, dataset: str, class_name: str, mask_pool: str | None = None, real: int | None = None
) -> TrainingSplit:
    """Normal images, images of the class, and its mask pool.

    Args:
        dataset: NAME@version.
        mask_pool: NAME@version of a stored one; None = the masks of the training split.
        real: see `known_pictures`; pool and gate know no other pictures of the class either.
    """
    index = load_index(storage, dataset)
    samples = load_samples(storage, index, split="train", classes=[class_name], normal=True)
    known = known_pictures(index, class_name, real)
    abnormals = [sample for sample in samples if sample.key in known]
    if mask_pool is None:
        pool = build_pool(abnormals, class_name)
    else:
        pool = load_pool(storage, load_pool_index(storage, mask_pool), class_name)
        if real is not None:
            pool = _without_unknown(pool, abnormals)
    return TrainingSplit([sample for sample in samples if sample.is_normal], abnormals, pool)


def _without_unknown(pool: MaskPool, abnormals: Sequence[Sample]) -> MaskPool:
    """A stored pool as it would have been built from these pictures; what experts drew stays."""
    known = build_pool(abnormals, pool.class_name)
    sources = {sample.key for sample in abnormals}
    return replace(
        pool,
        elements=tuple(one for one in pool.elements if one.is_expert or one.source in sources),
        part_counts=known.part_counts,
        severity=known.severity,
        rationality=None if pool.rationality is None else fit_rationality(abnormals, pool.class_name),
    )
