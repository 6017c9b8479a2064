"""Masks planned on real tiles lie as real ones do, by the rules that a pool has by default."""

from dataclasses import replace

import pytest

from anomaly_gan.benchmarks.placing import measure_planned, measure_real
from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.learning.rationality_fit import fit_rationality
from anomaly_gan.masks.pool.pool import build_pool
from jobs.library.maskpools.rules import DEFAULT_RATIONALITY
from tests.support.tiles import needs_tiles, normal_tiles, tiles

MASKS = 200


@needs_tiles
@pytest.mark.parametrize(
    ("class_name", "rows"), [("break", ("border", "score")), ("crack", ("steep", "border", "score"))]
)
def test_planned_breaks_lie_at_the_rim_and_planned_cracks_along_the_grain(
    class_name: str, rows: tuple[str, ...]
) -> None:
    samples = tiles(class_name)
    learnt = fit_rationality(samples, class_name)
    pool = replace(build_pool(samples, class_name), rationality=learnt)
    masks, view = MaskConfig(rationality=DEFAULT_RATIONALITY), ViewConfig(kind="window", size=128)
    plan = GenerationPlan(normal_tiles(60), pool, view, masks, GenerationConfig(seed=0))
    real, planned = measure_real(samples, class_name, learnt), measure_planned(plan, MASKS, learnt)
    assert planned.masks == MASKS
    least = {"border": 0.6, "steep": 0.8, "score": 0.6}
    for row in rows:
        assert getattr(planned, row) >= least[row] * getattr(real, row), (row, planned, real)
    assert 0.02 < 1 - planned.border < 0.4  # those that real masks keep away from the border are not lost
