"""The one sentence of an evaluation: did the generated images help, and how sure is that?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from anomaly_gan.evaluation.comparison import DetectorComparison

CLEAR_POINTS = 2.0
"""Smaller differences in AP, in points of 100, are within what another seed may give (ours)."""

FEW_INSTANCES = 50
"""Below it one anomaly found or missed moves the recall by more than a clear difference (ours)."""


@dataclass(frozen=True)
class Figure:
    """One score of both arms, in points of 100."""

    name: str
    real: float
    both: float

    @property
    def gain(self) -> float:
        return self.both - self.real


@dataclass(frozen=True)
class Headline:
    """Verdict for the page's head, with what limits it."""

    verdict: Literal["gain", "loss", "no clear change"]
    sentence: str
    caveats: tuple[str, ...]
    figures: tuple[Figure, ...]


def headline(comparison: DetectorComparison) -> Headline:
    """Judge by mask AP, the strictest of the scores, or by box AP where the detector finds boxes alone."""
    figures = tuple(_figures(comparison))
    judged = figures[0]
    caveats = _caveats(comparison, figures)
    gain = judged.gain
    added = comparison.real_and_generated.generated_images
    change = f"{judged.name} by {abs(gain):.1f} points, from {judged.real:.1f} to {judged.both:.1f}"
    if gain >= CLEAR_POINTS:
        return Headline("gain", f"Adding {added} generated images raised {change}.", caveats, figures)
    if gain <= -CLEAR_POINTS:
        sentence = f"Adding {added} generated images lowered {change}: they did harm."
        return Headline("loss", sentence, caveats, figures)
    sentence = (
        f"Adding {added} generated images made no clear difference: {judged.name} went from "
        f"{judged.real:.1f} to {judged.both:.1f}, less than {CLEAR_POINTS:g} points."
    )
    return Headline("no clear change", sentence, caveats, figures)


def _figures(comparison: DetectorComparison) -> Iterator[Figure]:
    """What was measured of both arms, the score to judge by first."""
    real, both = comparison.real.scores, comparison.real_and_generated.scores
    measured = {
        "mask AP": (real.mask_ap, both.mask_ap),
        "box AP": (real.box_ap, both.box_ap),
        "mIoU": (real.miou, both.miou),
    }
    for name, (before, after) in measured.items():
        if before is not None and after is not None:
            yield Figure(name, 100 * before, 100 * after)


def _caveats(comparison: DetectorComparison, figures: tuple[Figure, ...]) -> tuple[str, ...]:
    scores, both = comparison.real.scores, comparison.real_and_generated.scores
    caveats = [f"One training run per arm (seed {comparison.config.seed}); another seed gives other numbers."]
    if scores.instances < FEW_INSTANCES:
        caveats.append(
            f"The test set is small: {scores.instances} anomalies in {scores.images} images, so a single one "
            f"found or missed moves the recall by {100 / scores.instances:.1f} points. Read the difference as a hint."
        )
    if len({figure.gain > 0 for figure in figures if abs(figure.gain) >= CLEAR_POINTS}) > 1:
        caveats.append("The scores do not agree on the direction.")
    if max(arm.box_ap50 if arm.mask_ap50 is None else arm.mask_ap50 for arm in (scores, both)) < 0.1:
        caveats.append("Both detectors find next to nothing; train them for more steps before comparing them.")
    return tuple(caveats)
