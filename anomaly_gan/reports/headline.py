"""The one sentence of an evaluation: do the generated images help, and how sure is that?"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.evaluation.arms import BASE, parse_arm, titles
from anomaly_gan.evaluation.comparison import Comparison
from anomaly_gan.evaluation.verdict import Verdict, Word

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


def headline(comparisons: Sequence[Comparison]) -> Headline:
    """Judge one arm by the pixel AP of paired detectors.

    Args:
        comparisons: one for each detector, at least one.
    """
    return _of_one(comparisons[0]) if len(comparisons) == 1 else _of_several(comparisons)


def _of_several(comparisons: Sequence[Comparison]) -> Headline:
    """How many detectors say what; the word is theirs where those that judge agree."""
    arm = judged_arm([name for one in comparisons for name in one.arms])
    words = [one.verdicts[arm].word for one in comparisons if arm in one.verdicts]
    caveats = [f"{_name(one)}: {caveat}" for one in comparisons for caveat in _limits(one)]
    if arm is None or not words:
        return Headline(None, "Not judged: no detector has both arms and finds pixels.", tuple(caveats))
    total = len(comparisons)
    said = [f"it {word} {count} of {total}" for word in ("helps", "harms") if (count := words.count(word))]
    if count := words.count("undecided"):
        said.append(f"for {count} of {total} it is undecided")
    if len(words) < total:
        said.append(f"{total - len(words)} of {total} do not judge")
    doing = _doing(next(one for one in comparisons if one.of_arm(arm)), arm)
    sentence = f"{doing[0].upper()}{doing[1:]}, judged by {total} detectors: {', '.join(said)}."
    return Headline(words[0] if len(set(words)) == 1 else "undecided", sentence, tuple(caveats))


def _name(comparison: Comparison) -> str:
    return find_detector(comparison.config.name).title


def _of_one(comparison: Comparison) -> Headline:
    """Of one detector, never without an interval."""
    arm = judged_arm(comparison.arms)
    verdict = None if arm is None else comparison.verdicts.get(arm)
    if arm is None or verdict is None:
        return Headline(None, _unjudged(comparison, arm), tuple(_caveats(comparison, arm)))
    before, after = (100 * comparison.pixel_ap[name].mean for name in (BASE, arm))
    change = (
        f"pixel AP goes from {before:.1f} to {after:.1f}, {_points(verdict)};"
        f" {verdict.seeds} seeds, {verdict.groups} groups of test pictures"
    )
    doing = _doing(comparison, arm)
    said = {
        "helps": f"{doing[0].upper()}{doing[1:]} helps: {change}.",
        "harms": f"{doing[0].upper()}{doing[1:]} does harm: {change}.",
        "undecided": f"Undecided whether {doing} helps: {change}.",
    }
    return Headline(verdict.word, said[verdict.word], tuple(_caveats(comparison, arm)))


def judged_arm(arms: Sequence[str]) -> str | None:
    """The arm that the sentence is about: generated pictures beside real ones, else alone, else any but the base."""
    others = [parse_arm(arm) for arm in arms if arm != BASE]
    others.sort(key=lambda arm: (not arm.jobs, not arm.has_real, arm.adapts))
    return others[0].name if others else None


def _doing(comparison: Comparison, arm: str) -> str:
    parsed = parse_arm(arm)
    count = comparison.of_arm(arm)[0].pictures[parsed.stream]
    of = {"flips": "turned copies of real images", "copy_paste": "images with pasted anomalies"}
    pictures = f"{count} {of.get(parsed.stream, 'generated images')}"
    if not parsed.has_real:
        return f"learning from {pictures} in place of real ones"
    return f"adding {pictures}" + (", more often what is missed," if parsed.adapts else "")


def _points(verdict: Verdict) -> str:
    """The difference with its interval, in points of 100."""
    return (
        f"{100 * verdict.difference:+.1f} points (95 % interval {100 * verdict.low:+.1f} to {100 * verdict.high:+.1f})"
    )


def _unjudged(comparison: Comparison, arm: str | None) -> str:
    if not comparison.cells:
        return "Not judged: no detector could be trained."
    names = titles(comparison.arms)
    shown = [name for name in (BASE, arm) if name is not None and comparison.of_arm(name)]
    found = " and ".join(
        f"{100 * fmean(cell.scores.box_ap for cell in comparison.of_arm(name)):.1f} with {names[name]}"
        for name in shown
    )
    if arm is None:
        return f"Not judged: no detector was trained with other than real images. Box AP is {found}."
    if not comparison.pixel_ap:
        return f"Not judged: this detector finds boxes alone, and the verdict needs its pixels. Box AP is {found}."
    return f"Not judged: no seed has both arms, because cells failed. Box AP is {found}."


def _caveats(comparison: Comparison, judged: str | None) -> list[str]:
    caveats, names = [], titles(comparison.arms)
    for arm, verdict in comparison.verdicts.items():
        if arm != judged:
            caveats.append(f"{names[arm]}: {verdict.word}, {_points(verdict)}.")
        elif verdict.enough is not None:
            caveats.append(verdict.enough)
    return [*caveats, *_limits(comparison)]


def _limits(comparison: Comparison) -> list[str]:
    """What limits all that is said of a detector."""
    limits = []
    if comparison.failed:
        total = len(comparison.failed) + len(comparison.cells)
        limits.append(f"{len(comparison.failed)} of {total} detectors failed; the page says why.")
    if comparison.cells:
        scores = comparison.cells[0].scores
        if scores.instances < FEW_INSTANCES:
            limits.append(f"The test set is small: {scores.instances} anomalies in {scores.images} pictures.")
    if comparison.pixel_ap and max(each.mean for each in comparison.pixel_ap.values()) < LEAST_PIXEL_AP:
        limits.append("All detectors find next to nothing; train them for more steps before comparing them.")
    return limits
