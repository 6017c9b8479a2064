"""Does generated data help? Detectors trained on several arms with several seeds, and a verdict for each arm.

Cells of one seed share first weights, the order of the normal and of the real pictures, and the test pictures, so that
their scores are compared in pairs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.arms import BASE, parse_arms
from anomaly_gan.evaluation.cells import Cell, CellResult, FailedCell, run_cell
from anomaly_gan.evaluation.material import Material, streams
from anomaly_gan.evaluation.verdict import (
    ArmScores,
    GroupDraws,
    Interval,
    Verdict,
    draw_groups,
    interval_of_mean,
    judge,
    score_arm,
)
from anomaly_gan.records import Record


@dataclass(frozen=True)
class CellProgress:
    """One optimiser step of one cell is done: `step` of `steps`, 1 first; `cell` of `cells`, 1 first."""

    arm: str
    seed: int
    cell: int
    cells: int
    step: int
    steps: int
    loss: float


class MoreSteps(Record):
    """What more optimiser steps of the same detector bring.

    Attributes:
        fewer: steps that are compared with.
        verdicts: arm -> how it does beside itself with fewer steps, in pairs by the seeds.
    """

    fewer: int
    verdicts: dict[str, Verdict]


class Comparison(Record):
    """All cells of one detector, and what they say together.

    Attributes:
        cells: by seed, and within a seed in the order of the arms.
        pixel_ap: arm -> its mean over the seeds, with the 95 % interval; empty where the detector has no anomaly maps.
        verdicts: arm, but for the base -> how it does beside the base; empty likewise.
        config: the detector and its training, with the first seed.
        failed: cells without a result; a verdict is of the seeds that both of its arms have.
        more_steps: beside the next shorter training of the same detector; None where there is none, or no anomaly maps.
    """

    cells: tuple[CellResult, ...]
    pixel_ap: dict[str, Interval]
    verdicts: dict[str, Verdict]
    classes: tuple[str, ...]
    config: DetectorConfig
    failed: tuple[FailedCell, ...] = ()
    more_steps: MoreSteps | None = None

    @property
    def arms(self) -> list[str]:
        """Those with a cell, in the order in which they were run: the base first."""
        return list(dict.fromkeys(cell.arm for cell in self.cells))

    def of_arm(self, arm: str) -> list[CellResult]:
        """In the order of the seeds."""
        return [cell for cell in self.cells if cell.arm == arm]


def compare_arms(
    arms: Sequence[str],
    seeds: int,
    material: Material,
    config: DetectorConfig,
    *,
    device: str = "cpu",
    weights_folder: Path | None = None,
    on_progress: Callable[[CellProgress], None] = lambda progress: None,
) -> Comparison:
    """Train and test a detector for each arm and seed, one after the other in this process.

    Args:
        arms: as `parse_arm` takes them; the base is run in any case, and first.
        seeds: how many; the first is the config's, each further one is one more.
        material: what is learnt from and tested on.
        config: the detector and its training, the same for all cells but for the seed; what is not given is as the
            list of detectors has it.
        device: where it is trained.
        weights_folder: read only for `config.weights = "file"`.
        on_progress: called after every optimiser step.

    Raises:
        UsageError: there is no such detector or arm, or the material has no pictures for it.
        DataError: a set has no anomaly of these classes.
        NotFoundError: the backbone's file is wanted and not there.
        TrainingError: a loss is not finite.
    """
    wanted, config = parse_arms(arms), config.filled_in()
    for arm in wanted:
        streams(arm, material)  # refuses what cannot be before anything is trained
    cells: list[Cell] = []
    total = len(wanted) * seeds
    for seed in range(config.seed, config.seed + seeds):
        for arm in wanted:
            number = len(cells) + 1

            def report(step: int, loss: float, arm: str = arm.name, seed: int = seed, number: int = number) -> None:
                on_progress(CellProgress(arm, seed, number, total, step, config.steps, loss))

            seeded = config.model_copy(update={"seed": seed})
            cells.append(run_cell(arm, seeded, material, device=device, weights_folder=weights_folder, on_step=report))
    return judged(cells, config, material.classes)


def judged(
    cells: Sequence[Cell],
    config: DetectorConfig,
    classes: Sequence[str],
    failed: Sequence[FailedCell] = (),
    shorter: tuple[int, Sequence[Cell]] | None = None,
) -> Comparison:
    """What the cells of one detector say together.

    Args:
        cells: in the order of the comparison; all have the same test pictures.
        failed: cells without a result.
        shorter: steps and cells of the same detector, trained for fewer steps.
    """
    with_maps = [cell for cell in cells if cell.counts]
    pixel_ap, verdicts = _verdicts(with_maps) if with_maps else ({}, {})
    return Comparison(
        cells=tuple(cell.result for cell in cells),
        pixel_ap=pixel_ap,
        verdicts=verdicts,
        classes=tuple(classes),
        config=config,
        failed=tuple(failed),
        more_steps=_more_steps(with_maps, *shorter) if with_maps and shorter else None,
    )


def schedules(comparisons: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """Name of a detector -> its comparisons, the one of the fewest steps first."""
    found: dict[str, list[Comparison]] = {}
    for one in comparisons:
        found.setdefault(one.config.name, []).append(one)
    return {name: sorted(of_name, key=lambda one: one.config.steps) for name, of_name in found.items()}


def _verdicts(cells: Sequence[Cell]) -> tuple[dict[str, Interval], dict[str, Verdict]]:
    """(arm -> its pixel AP, arm but for the base -> how it does beside the base)."""
    draws = draw_groups(cells[0].counts, cells[0].groups)
    scored = {arm: _scored(arm, cells, draws) for arm in dict.fromkeys(cell.result.arm for cell in cells)}
    intervals = {arm: interval_of_mean(one) for arm, one in scored.items()}
    if BASE not in scored:
        return intervals, {}
    paired = {arm: _of_common_seeds(scored[BASE], one) for arm, one in scored.items() if arm != BASE}
    return intervals, {arm: judge(base, other) for arm, (base, other) in paired.items() if base.seeds}


def _more_steps(cells: Sequence[Cell], fewer: int, shorter: Sequence[Cell]) -> MoreSteps:
    draws, verdicts = draw_groups(cells[0].counts, cells[0].groups), {}
    arms = {cell.result.arm for cell in shorter}
    for arm in dict.fromkeys(cell.result.arm for cell in cells):
        if arm in arms:
            before, after = _of_common_seeds(_scored(arm, shorter, draws), _scored(arm, cells, draws))
            if before.seeds:
                verdicts[arm] = judge(before, after)
    return MoreSteps(fewer=fewer, verdicts=verdicts)


def _scored(arm: str, cells: Sequence[Cell], draws: GroupDraws) -> ArmScores:
    return score_arm({cell.result.seed: cell.counts for cell in cells if cell.result.arm == arm}, draws)


def _of_common_seeds(base: ArmScores, other: ArmScores) -> tuple[ArmScores, ArmScores]:
    """Both without the seeds that the other lacks, where a cell failed."""
    common = np.intersect1d(base.seeds, other.seeds)

    def of(one: ArmScores) -> ArmScores:
        rows = np.isin(one.seeds, common)
        seeds = tuple(seed for seed, chosen in zip(one.seeds, rows, strict=True) if chosen)
        return replace(one, seeds=seeds, values=one.values[rows], resampled=one.resampled[rows])

    return of(base), of(other)
