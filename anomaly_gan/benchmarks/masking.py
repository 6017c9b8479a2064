"""How fast masks are placed by each kind of rule, and what memory planning very many of them takes."""

from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np

from anomaly_gan.benchmarks.measuring import Figures, Ratio, growth_mib, in_turn, timed
from anomaly_gan.benchmarks.synthetic import CLASS, FRAME_PX, synthetic_source
from anomaly_gan.config import MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.masks.learning.rationality_fit import fit_rationality
from anomaly_gan.masks.placing.parts import EVERYWHERE, Ground
from anomaly_gan.masks.placing.placement import place
from anomaly_gan.masks.placing.planning import MaskPlanner
from anomaly_gan.progress import Progress

ROUND = 1000
"""Masks placed in one round of measuring."""

RATIONAL_ROUND = 100

REGION = np.zeros((FRAME_PX, FRAME_PX), np.uint8)
REGION[FRAME_PX // 4 : -FRAME_PX // 4, FRAME_PX // 8 : -FRAME_PX // 8] = 1

FREE = MaskConfig()
RATIONAL = MaskConfig(rationality=0.8)

CASES = {
    "free": (FREE, EVERYWHERE),
    "fixed": (MaskConfig(pose="fixed"), EVERYWHERE),
    "apart": (MaskConfig(max_parts=3, min_distance_px=8), EVERYWHERE),
    "region": (FREE, Ground(REGION)),
    "anchors": (MaskConfig(pose="fixed"), Ground(anchors=[(x, y) for x in (100, 250, 400) for y in (120, 380)])),
}
"""Title of a case -> its rules, and where parts may go."""


def measure_masks(count: int, repeats: int, progress: Progress) -> Figures:
    """Masks per second at 512 px on one core, and the growth of this process while `count` masks are planned.

    The aim of speed is for placing without rationality, by the slowest case; a rational mask is the best of several,
    each of which is placed and judged.
    """
    view = ViewConfig(size=FRAME_PX)
    source = synthetic_source(TrainConfig(), view)
    learnt = replace(source.pool, rationality=fit_rationality(source.abnormals, CLASS))
    rational = MaskPlanner(learnt, view, RATIONAL)

    def place_many(masks: MaskConfig, ground: Ground) -> None:
        for index in range(ROUND):
            place(source.pool, FRAME_PX, masks, np.random.default_rng([0, index]), ground=ground)

    def plan_many(planner: MaskPlanner, number: int) -> None:
        for index in range(number):
            rng = np.random.default_rng([0, index])
            planner.plan(source.normals[int(rng.integers(len(source.normals)))], rng)

    runs = {name: timed(partial(place_many, *case)) for name, case in CASES.items()}
    seconds = in_turn({**runs, "rationality": timed(partial(plan_many, rational, RATIONAL_ROUND))}, repeats, progress)
    rounds = {
        name: {"masks_per_sec": [(ROUND if name in CASES else RATIONAL_ROUND) / value for value in values]}
        for name, values in seconds.items()
    }
    grown_mib, planning_sec = growth_mib(timed(partial(plan_many, MaskPlanner(source.pool, view, FREE), count)))
    rounds["planning"] = {"masks_per_sec": [count / planning_sec], "growth_mib": [grown_mib]}
    slowest = min(median(rounds[name]["masks_per_sec"]) for name in CASES)
    ratios = {
        f"slowest of {', '.join(CASES)}: masks per second": Ratio(slowest, "at least 2000"),
        "growth, MiB": Ratio(grown_mib, "below 500"),
    }
    return Figures(rounds, ratios)
