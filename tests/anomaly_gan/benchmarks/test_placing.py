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
    real, least = measure_real(samples, class_name, learnt), {"border": 0.6, "steep": 0.8, "score": 0.6}
    planned = {}
    for pose in ("natural", "free"):
        masks = MaskConfig.model_validate({"rationality": DEFAULT_RATIONALITY, "pose": pose})
        view, normals = ViewConfig(kind="window", size=128), normal_tiles(60)
        plan = GenerationPlan(normals, pool, view, masks, GenerationConfig(seed=0))
        planned[pose] = measure_planned(plan, MASKS, learnt)
        assert planned[pose].masks == MASKS
        for row in rows:
            assert getattr(planned[pose], row) >= least[row] * getattr(real, row), (pose, row, planned, real)
        # those that real masks keep away from the border are not lost
        assert 0.02 < 1 - planned[pose].border < 0.4
