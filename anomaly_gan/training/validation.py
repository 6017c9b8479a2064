"""The validation split: pictures of the training split that a run does not learn from, to compare its checkpoints by.

Only a run's own training is kept from them. Generation, its quality gate and an evaluation's detectors use the whole
training split, for they choose no checkpoint.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.masks.placing.planning import MaskPlanner
from anomaly_gan.masks.pool.pool import MaskPool, build_pool, cut_elements
from anomaly_gan.samples.grouping import split_by_group
from anomaly_gan.samples.index import NORMAL
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

LEAST_GROUPS = 10
"""With fewer groups of abnormal pictures, each holds too much of what there is to learn."""

LEAST_HELD_GROUPS = 3
"""Halves of fewer are single groups, which say next to nothing of how much depends on the choice of groups."""

LEAST_ANOMALIES = 8
"""A distance from fewer anomalies is mostly noise."""

ORDER_SEED = 0
"""Runs of different seeds hold out the same pictures, so that their measures can be compared."""


@dataclass(frozen=True)
class LearntAndHeld:
    """A training split in two parts; no group of pictures is in both.

    Attributes:
        normals, abnormals: what is learnt from; abnormals all carry `pool.class_name`.
        pool: without the shapes of held-out pictures. Where it was made before the training, what it learnt of places
            (`rationality`) is of all pictures: it holds no pixel and no shape.
        held_normals, held_abnormals: the validation split; both empty where nothing is held out.
        reason: why nothing is held out, a clause; empty where something is.
    """

    normals: Sequence[Sample]
    abnormals: Sequence[Sample]
    pool: MaskPool
    held_normals: Sequence[Sample] = ()
    held_abnormals: Sequence[Sample] = ()
    reason: str = ""


def hold_out(
    normals: Sequence[Sample], abnormals: Sequence[Sample], pool: MaskPool, view: ViewConfig, config: TrainConfig
) -> LearntAndHeld:
    """Hold out whole groups with a share `config.validation` of the pictures, where there are enough.

    A function of the pictures and the share alone, so all ranks, a resumed run and runs of other seeds agree.

    Args:
        normals, abnormals: the training split; abnormals all carry `pool.class_name`.
        pool: of the class.
        view, config: of the run.
    """
    try:
        return _parted(normals, abnormals, pool, view, config)
    except DataError as err:
        return LearntAndHeld(normals, abnormals, pool, reason=str(err))


def _parted(
    normals: Sequence[Sample], abnormals: Sequence[Sample], pool: MaskPool, view: ViewConfig, config: TrainConfig
) -> LearntAndHeld:
    """As `hold_out`; raises DataError with the reason where nothing can be held out."""
    name, share = pool.class_name, config.validation
    if share == 0:
        raise DataError("train.validation is 0")
    groups = {_group(sample) for sample in abnormals}
    if len(groups) < LEAST_GROUPS:
        raise DataError(f"class {name} has {len(groups)} groups of pictures to learn from, {LEAST_GROUPS} are needed")
    kinds = {NORMAL: normals, name: abnormals}
    pictures = {sample.key: (_group(sample), {kind}) for kind, samples in kinds.items() for sample in samples}
    side = split_by_group(pictures, test_fraction=share, seed=ORDER_SEED)
    held_normals, held = ([s for s in samples if side[s.key] == "test"] for samples in kinds.values())
    anomalies = sum(len(cut_elements(sample, name)) for sample in held)
    held_groups = len({_group(sample) for sample in held})
    if anomalies < LEAST_ANOMALIES or held_groups < LEAST_HELD_GROUPS:
        raise DataError(
            f"a share of {share:g} of class {name} is {anomalies} anomalies of {held_groups} groups,"
            f" {LEAST_ANOMALIES} of {LEAST_HELD_GROUPS} groups are needed"
        )
    learnt_normals, learnt = ([s for s in samples if side[s.key] == "train"] for samples in kinds.values())
    learnt_pool = _without(pool, {sample.key for sample in held}, learnt)
    planner = MaskPlanner(learnt_pool, view, config.masks)
    for part in (learnt_normals, held_normals):
        planner.fitting(part)  # raises DataError where none of a part's pictures takes a mask
    return LearntAndHeld(learnt_normals, learnt, learnt_pool, held_normals, held)


def _without(pool: MaskPool, held_keys: set[str], learnt: Sequence[Sample]) -> MaskPool:
    """The pool as if the held-out pictures were not there; see `LearntAndHeld.pool` for what remains of them."""
    own = build_pool(learnt, pool.class_name)
    elements = tuple(element for element in pool.elements if element.is_expert or element.source not in held_keys)
    return replace(pool, elements=elements, part_counts=own.part_counts, severity=own.severity)


def _group(sample: Sample) -> str:
    return str(sample.meta.get("group", sample.key))
