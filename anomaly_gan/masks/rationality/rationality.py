"""How rational a placement is: learnt from the real masks of a class, ours (the paper names it as a limit)."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from anomaly_gan.masks.rationality.context import FEATURES, PictureContext, PlacedPart, measure_part
from anomaly_gan.masks.rationality.habits import Habits
from anomaly_gan.records import Record

NUMBER = "number"
TERMS = (*FEATURES, NUMBER)
"""What a score looks at: the features of each part, and the log of how many parts there are."""

MAX_DEVIATIONS = 3.0
"""Features farther from their mean count as this far: nothing was learnt out there."""


class Term(Record):
    """One feature's part in the log of the odds: linear * z + square * (z**2 - 1), z = (value - mean) / deviation."""

    feature: str
    mean: float
    deviation: float = Field(gt=0)
    linear: float
    square: float


class Rationality(Record):
    """The learnt score of a class.

    Attributes:
        masks: real masks it was learnt from, one for each picture.
        groups: of pictures that they came from.
        auc: how often a real mask scores above itself moved to a random position within its picture, 0.5 = chance;
            by models that have not seen its group, mean over the groups. None where there are fewer than 2.
        placement_auc: the same against placements random in position, turn, scale and number of parts, by the score
            as it is used.
        knows_place: `auc` is above chance by more than three standard errors over the groups, or is None. Otherwise the
            score leaves the place alone: nothing shows that the class prefers one.
        habits: how the real parts lay; new ones are proposed to lie in the same way.
    """

    class_name: str
    masks: int = Field(ge=1)
    groups: int = Field(ge=1)
    auc: float | None = Field(ge=0, le=1)
    placement_auc: float | None = Field(ge=0, le=1)
    knows_place: bool
    bias: float
    terms: tuple[Term, ...]
    habits: Habits = Habits()

    @model_validator(mode="after")
    def _known(self) -> "Rationality":
        names = tuple(term.feature for term in self.terms)
        if names != TERMS:
            raise ValueError(f"terms must be {', '.join(TERMS)}, got {', '.join(names)}; make the mask pool again")
        return self

    def score(self, context: PictureContext, parts: Sequence[PlacedPart]) -> float:
        """Compare a placement with real ones and random ones.

        Args:
            context: of the whole picture.
            parts: may hang over the border; those beyond it do not count.

        Returns:
            0..1: the chance that it is real, if real and random ones were equally frequent; 0.5 = as likely to be
            either. 0 where no part lies within the picture.
        """
        measured = measure_placement(context, parts)
        if measured is None:
            return 0.0
        mean, deviation, linear, square = self._columns
        z = np.clip((measured - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        odds = self.bias + float((z @ linear + (z**2 - 1) @ square).mean())
        return 1 / (1 + math.exp(-odds))

    @cached_property
    def _columns(self) -> NDArray[np.float64]:
        """[4, K]: mean, deviation, linear and square of each term."""
        return np.array([(term.mean, term.deviation, term.linear, term.square) for term in self.terms]).T


def measure_placement(context: PictureContext, parts: Sequence[PlacedPart]) -> NDArray[np.float64] | None:
    """[parts, K] in the order of TERMS, or None where no part lies within the picture."""
    rows = [row for part in parts if (row := measure_part(context, part)) is not None]
    if not rows:
        return None
    return np.column_stack([np.array(rows), np.full(len(rows), np.log(len(rows)))])


def expand(
    measured: NDArray[np.float64], counts: Sequence[int], mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Features of placements: means over their parts of z and of z**2 - 1.

    Args:
        measured: [parts, K], those of the first placement first.
        counts: parts of each of N placements, at least 1.
        mean, deviation: [K].

    Returns:
        [N, 2 * K].
    """
    z = np.clip((measured - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS)
    sizes = np.array(counts, np.intp)
    sums: NDArray[np.float64] = np.add.reduceat(np.hstack([z, z**2 - 1]), np.cumsum(sizes) - sizes)
    return sums / sizes[:, None]
