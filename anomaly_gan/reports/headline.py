"""The one sentence of an evaluation: do the generated images help, and how sure is that?"""

from dataclasses import dataclass
from statistics import fmean

from anomaly_gan.evaluation.arms import BASE
from anomaly_gan.evaluation.comparison import Comparison, titles
from anomaly_gan.evaluation.verdict import Verdict, Word

JUDGED = "generated"
"""The arm that the sentence is about."""

FEW_INSTANCES = 50
"""Below it one anomaly found or missed moves the recall by two points or more (ours)."""

LEAST_PIXEL_AP = 0.1
"""Below it in every arm, detectors find next to nothing (ours)."""


@dataclass(frozen=True)
class Headline:
    """What the page's head says.

    Attributes:
        word: None where the detector has no anomaly maps, or the arm was not run, so that nothing is judged.
        sentence: always with the interval, where there is a word.
        caveats: what limits it, and what would decide it.
    """

    word: Word | None
    sentence: str
    caveats: tuple[str, ...]


def headline(comparison: Comparison) -> Headline:
    """Judge the generated images by the pixel AP of paired detectors, never without an interval."""
    verdict = comparison.verdicts.get(JUDGED)
    if verdict is None:
        return Headline(None, _unjudged(comparison), tuple(_caveats(comparison)))
    before, after = (100 * comparison.pixel_ap[arm].mean for arm in (BASE, JUDGED))
    count = comparison.of_arm(JUDGED)[0].pictures[JUDGED]
    change = (
        f"pixel AP goes from {before:.1f} to {after:.1f}, {_points(verdict)};"
        f" {verdict.seeds} seeds, {verdict.groups} groups of test pictures"
    )
    said = {
        "helps": f"Adding {count} generated images helps: {change}.",
        "harms": f"Adding {count} generated images does harm: {change}.",
        "undecided": f"Undecided whether adding {count} generated images helps: {change}.",
    }
    return Headline(verdict.word, said[verdict.word], tuple(_caveats(comparison)))


def _points(verdict: Verdict) -> str:
    """The difference with its interval, in points of 100."""
    return (
        f"{100 * verdict.difference:+.1f} points (95 % interval {100 * verdict.low:+.1f} to {100 * verdict.high:+.1f})"
    )


def _unjudged(comparison: Comparison) -> str:
    arms = [arm for arm in (BASE, JUDGED) if comparison.of_arm(arm)]
    found = " and ".join(
        f"{100 * fmean(cell.scores.box_ap for cell in comparison.of_arm(arm)):.1f} with {title}"
        for arm, title in titles(arms).items()
    )
    if JUDGED not in arms:
        return f"Not judged: no detector was trained with the generated images. Box AP is {found}."
    return f"Not judged: this detector finds boxes alone, and the verdict needs its pixels. Box AP is {found}."


def _caveats(comparison: Comparison) -> list[str]:
    caveats, names = [], titles(comparison.arms)
    for arm, verdict in comparison.verdicts.items():
        if arm != JUDGED:
            caveats.append(f"{names[arm]}: {verdict.word}, {_points(verdict)}.")
        elif verdict.enough is not None:
            caveats.append(verdict.enough)
    scores = comparison.cells[0].scores
    if scores.instances < FEW_INSTANCES:
        caveats.append(f"The test set is small: {scores.instances} anomalies in {scores.images} pictures.")
    if comparison.pixel_ap and max(each.mean for each in comparison.pixel_ap.values()) < LEAST_PIXEL_AP:
        caveats.append("All detectors find next to nothing; train them for more steps before comparing them.")
    return caveats
