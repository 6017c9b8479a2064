"""How fast masks are placed, and what memory planning very many of them takes."""

from functools import partial
from statistics import median

import numpy as np

from anomaly_gan.benchmarks.measuring import Figures, Ratio, Told, growth_mib, in_turn, timed
from anomaly_gan.benchmarks.synthetic import FRAME_PX, synthetic_source
from anomaly_gan.config import MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.masks.placement import place
from anomaly_gan.masks.planning import MaskPlanner

ROUND = 1000
"""Masks placed in a round."""

RULES = {
    "free": MaskConfig(),
    "fixed": MaskConfig(pose="fixed"),
    "apart": MaskConfig(max_parts=3, min_distance_px=8),
}
"""What is asked of the masks."""


def measure_masks(count: int, repeats: int, told: Told) -> Figures:
    """Masks per second at 512 px on one core, and the growth of this process while `count` masks are planned."""
    view = ViewConfig(size=FRAME_PX)
    source = synthetic_source(TrainConfig(), view)

    def place_many(masks: MaskConfig) -> None:
        for index in range(ROUND):
            place(source.pool, FRAME_PX, masks, np.random.default_rng([0, index]))

    def plan_many() -> None:
        planner = MaskPlanner(source.pool, view, RULES["free"])
        for index in range(count):
            rng = np.random.default_rng([0, index])
            planner.plan(source.normals[int(rng.integers(len(source.normals)))], rng)

    seconds = in_turn({name: timed(partial(place_many, rules)) for name, rules in RULES.items()}, repeats, told)
    rounds = {name: {"masks_per_sec": [ROUND / value for value in values]} for name, values in seconds.items()}
    grown_mib, planning_sec = growth_mib(timed(plan_many))
    rounds["planning"] = {"masks_per_sec": [count / planning_sec], "growth_mib": [grown_mib]}
    slowest = min(median(rounds[name]["masks_per_sec"]) for name in RULES)
    ratios = {"masks per second": Ratio(slowest, "at least 2000"), "growth, MiB": Ratio(grown_mib, "below 500")}
    return Figures(rounds, ratios)
