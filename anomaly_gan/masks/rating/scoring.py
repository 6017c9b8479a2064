"""Which expert masks are admitted to the pool, by the experts' fuzzy ratings.

Rules:

- Without a table of experts, each who rates weighs 1 and is senior.
- A mask's score is the centroid of the weighted mean of its ratings; the weights count in proportion among those who
  rated it.
- Masks are ranked within their class. The top has ceil(top x expert masks of the class) places, at least one; masks
  that tie with the last place are in the top too.
- A mask with fewer ratings than `min_ratings` (default: half of the experts, rounded up) counts for the size of the
  top, but takes no place of it and is not admitted.
- Of the top, those masks are admitted to which every senior expert gave a rating of centroid `approval` or more. A
  senior expert who did not rate a mask has not approved it. A place so lost goes to no other mask.
- Concordance is Kendall's W over the masks, of all classes together, that every expert rated.

The same ratings give the same result in any order.
"""

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, pairwise

from anomaly_gan.masks.rating.fuzzy import Triangle, agreement, centroid, kendall_w, weighted_mean
from anomaly_gan.masks.rating.ratings import ExpertEntry, Rating
from anomaly_gan.records import Record
from infra.errors import DataError, UsageError


class MaskScore(Record):
    """The decision on one mask.

    Attributes:
        triangle, score, agreement: the aggregate, its centroid, and 1 - mean distance of the ratings from it; None
            where nobody rated the mask.
        ratings: how many.
        reason: "admitted", or what stands against it.
    """

    mask: str
    class_name: str
    triangle: Triangle | None
    score: float | None
    agreement: float | None
    ratings: int
    admitted: bool
    reason: str


class Scoring(Record):
    """A whole decision with all that led to it.

    Attributes:
        concordance: Kendall's W in [0, 1]; None where it is not defined.
        experts: by name.
        ratings: by mask and expert.
        masks: by class, then best first, unrated last.
    """

    top: float
    approval: float
    min_ratings: int
    concordance: float | None
    experts: tuple[ExpertEntry, ...]
    ratings: tuple[Rating, ...]
    masks: tuple[MaskScore, ...]


def score_masks(
    masks: Mapping[str, str],
    ratings: Sequence[Rating],
    experts: Sequence[ExpertEntry] | None,
    *,
    top: float = 0.1,
    approval: float = 0.5,
    min_ratings: int | None = None,
) -> Scoring:
    """Decide on expert masks by the rules above.

    Args:
        masks: id -> class of every expert mask of the pool.
        ratings: one or more tables together.
        experts: None where all have the same weight and are senior.
        top: share of each class's masks, in (0, 1].
        approval: least centroid of a senior expert's rating, in [0, 1].
        min_ratings: fewest ratings of an admitted mask, 1 to the number of experts; None = half of them.

    Raises:
        UsageError: top, approval or min_ratings is out of its range.
        DataError: a rating of an unknown mask or by an unknown expert, or two of one mask by one expert; no senior
            expert.
    """
    panel = _panel(ratings, experts)
    least = math.ceil(len(panel) / 2) if min_ratings is None else min_ratings
    rule = _Rule(top, approval, least, tuple(expert.name for expert in panel if expert.senior))
    rule.check(len(panel))
    weights = {expert.name: expert.weight for expert in panel}
    given = _by_mask(masks, ratings, weights)
    means = {mask: weighted_mean(*_weighed(row, weights)) for mask, row in given.items() if row}
    scores = {mask: centroid(mean) for mask, mean in means.items()}
    cutoffs = rule.cutoffs(masks, {mask: scores[mask] for mask, row in given.items() if len(row) >= least})

    def decide(mask: str) -> MaskScore:
        row, score = given[mask], scores.get(mask)
        objection = "not rated" if score is None else rule.objection(row, score, cutoffs.get(masks[mask], 0))
        return MaskScore(
            mask=mask,
            class_name=masks[mask],
            triangle=means.get(mask),
            score=score,
            agreement=agreement(*_weighed(row, weights)) if row else None,
            ratings=len(row),
            admitted=objection is None,
            reason=objection or "admitted",
        )

    complete = [row for row in given.values() if len(row) == len(panel)]
    return Scoring(
        top=top,
        approval=approval,
        min_ratings=least,
        concordance=kendall_w([[centroid(row[expert.name].triangle) for row in complete] for expert in panel]),
        experts=panel,
        ratings=tuple(rating for row in given.values() for rating in row.values()),
        masks=tuple(
            decide(mask) for mask in sorted(masks, key=lambda mask: (masks[mask], -scores.get(mask, -1), mask))
        ),
    )


def warnings_of(scoring: Scoring) -> list[str]:
    """What the table may not have meant, one sentence each."""
    warnings = []
    names = sorted((expert.name for expert in scoring.experts), key=str.casefold)
    for one, other in pairwise(names):
        if one.casefold() == other.casefold():
            warnings.append(
                f"experts {one!r} and {other!r} differ in case alone and count as two; write one name in every table"
            )
    rated = {mask.class_name for mask in scoring.masks if mask.ratings}
    for name in sorted({mask.class_name for mask in scoring.masks} - rated):
        warnings.append(f"class {name}: none of its drawn masks was rated, so none is used; rate some of them")
    return warnings


@dataclass(frozen=True)
class _Rule:
    top: float
    approval: float
    min_ratings: int
    seniors: tuple[str, ...]

    def check(self, experts: int) -> None:
        if not 0 < self.top <= 1:
            raise UsageError(f"--top {self.top}: must be above 0 and at most 1; 0.1 is the best tenth")
        if not 0 <= self.approval <= 1:
            raise UsageError(f"--approval {self.approval}: must be from 0 to 1; 0.5 is the middle of the scale")
        if not 1 <= self.min_ratings <= experts:
            raise UsageError(f"--min-ratings {self.min_ratings}: must be from 1 to {experts}, the number of experts")

    def cutoffs(self, masks: Mapping[str, str], scores: Mapping[str, float]) -> dict[str, float]:
        """Class -> score of the last place of its top, for the classes of which `scores` has a mask."""
        cutoffs = {}
        for name, size in Counter(masks.values()).items():
            places = math.ceil(Fraction(str(self.top)) * size)  # exact: 0.07 x 100 is 7 places, not 8
            best = sorted((score for mask, score in scores.items() if masks[mask] == name), reverse=True)[:places]
            if best:
                cutoffs[name] = best[-1]
        return cutoffs

    def objection(self, row: Mapping[str, Rating], score: float, cutoff: float) -> str | None:
        """What stands against a mask first, in a few words; `row` has its ratings by expert."""
        if len(row) < self.min_ratings:
            return f"{len(row)} rating{'s' if len(row) > 1 else ''} of at least {self.min_ratings}"
        if score < cutoff:
            own, last = _apart(score, cutoff)
            return f"score {own} is below the top {100 * self.top:g} % ({last})"
        for senior in self.seniors:
            if senior not in row:
                return f"senior expert {senior} did not rate it"
            centre = centroid(row[senior].triangle)
            if centre < self.approval:
                own, least = _apart(centre, self.approval)
                return f"senior expert {senior} rates it {own}, below {least}"
        return None


def _apart(low: float, high: float) -> tuple[str, str]:
    """Both numbers with two decimals, or with as many more as it takes to see the difference."""
    return next(pair for digits in count(2) if len(set(pair := (f"{low:.{digits}f}", f"{high:.{digits}f}"))) == 2)


def _panel(ratings: Iterable[Rating], experts: Iterable[ExpertEntry] | None) -> tuple[ExpertEntry, ...]:
    """All experts by name."""
    if experts is None:
        return tuple(ExpertEntry(name=name, senior=True) for name in sorted({rating.expert for rating in ratings}))
    panel = tuple(sorted(experts, key=lambda expert: expert.name))
    if not any(expert.senior for expert in panel):
        raise DataError("experts: none is senior, so nobody can approve a mask; set senior to yes for one or more")
    return panel


def _weighed(row: Mapping[str, Rating], weights: Mapping[str, float]) -> tuple[list[Triangle], list[float]]:
    """A mask's ratings, and the weights of those who gave them."""
    return [rating.triangle for rating in row.values()], [weights[expert] for expert in row]


def _by_mask(
    masks: Mapping[str, str], ratings: Iterable[Rating], experts: Container[str]
) -> dict[str, dict[str, Rating]]:
    """Mask -> expert -> rating, both sorted; a mask that nobody rated has an empty row."""
    given: dict[str, dict[str, Rating]] = {mask: {} for mask in sorted(masks)}
    for rating in sorted(ratings, key=lambda rating: rating.expert):
        if rating.mask not in masks:
            raise DataError(
                f"ratings: expert {rating.expert} rates mask {rating.mask!r}, which is no expert mask of the pool;"
                " correct its id or leave the line out"
            )
        if rating.expert not in experts:
            raise DataError(f"ratings: expert {rating.expert!r} is not in the table of experts; add a line there")
        if rating.expert in given[rating.mask]:
            raise DataError(f"ratings: expert {rating.expert} rates mask {rating.mask} twice; keep one line")
        given[rating.mask][rating.expert] = rating
    return given
