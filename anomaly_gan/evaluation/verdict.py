"""Does one arm do better than another? From the counts of paired cells to a word, never without its interval.

A cell is a detector of one arm, trained from one seed, with the counts of every test picture. Two things could have
come out otherwise: the seeds, and the test pictures. Pictures of one group show the same part, so whole groups are
drawn again. The two variances add up:

    variance of the mean = (deviation between seeds)^2 / seeds + (deviation over redrawn test groups)^2

Both are estimates, from a few seeds and a few groups. So the 95 % interval takes the quantile of a t distribution, with
the degrees of freedom that Welch and Satterthwaite give to such a sum, and is never narrower than either part alone
would make it: with two seeds, which by chance often agree, their rule says too much in one of nine cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # quantile of t; that of scipy.stats is the same and takes a second to import

from anomaly_gan.metrics.pixels import PictureCounts, resampled_ap
from anomaly_gan.records import Record
from infra.errors import DataError

Word = Literal["helps", "harms", "undecided"]
Numbers = NDArray[np.float64] | NDArray[np.int64] | float

RESAMPLINGS = 2000
SURE = 0.975  # both ends of a 95 % interval
POWER = 0.8  # chance with which what `enough` asks for decides it
MOST_SEEDS = 200
MOST_GROUPS = 2000
LEAST_FREEDOM = 1e-3  # of groups of which one has nearly all anomalous pixels: the interval is as wide as can be


class Interval(Record):
    """A mean over seeds, and the 95 % interval of what it would be over all seeds and test groups.

    Attributes:
        seeds: seeds that were run.
        groups: test groups with an anomaly.
        seed_deviation: standard deviation of the values between seeds; None for one seed.
        group_deviation: standard deviation of the mean, had other test groups been drawn; None for one group.
    """

    mean: float
    low: float
    high: float
    seeds: int
    groups: int
    seed_deviation: float | None
    group_deviation: float | None


class Verdict(Record):
    """Pixel AP of one arm minus that of a base arm.

    Attributes:
        word: "undecided" where 0 is in the interval, and always for one seed or one group.
        difference: mean over seeds, -1..1; `low`, `high`: its 95 % interval.
        seeds, groups, seed_deviation, group_deviation: as those of `Interval`, of the paired differences.
        enough: a sentence that says what would decide it; None where it is decided.
    """

    word: Word
    difference: float
    low: float
    high: float
    seeds: int
    groups: int
    seed_deviation: float | None
    group_deviation: float | None
    enough: str | None


@dataclass(frozen=True)
class GroupDraws:
    """Resampled test sets, the same for all arms and seeds.

    Attributes:
        weights: [R, pictures] int64, how often each test picture is in each of them.
        groups: test groups with an anomaly.
        effective_groups: of equal numbers of anomalous pixels, this many would be worth as much; 1..groups.
        sizes: [pictures, 2] int64, pixels in the mask and outside, by which a test set is known again.
    """

    weights: NDArray[np.int64]
    groups: int
    effective_groups: float
    sizes: NDArray[np.int64]


@dataclass(frozen=True)
class ArmScores:
    """Pixel AP of one arm.

    Attributes:
        values: [S], on the test set, for each of `seeds`.
        resampled: [S, R], on its resamplings.
    """

    seeds: tuple[int, ...]
    values: NDArray[np.float64]
    resampled: NDArray[np.float64]
    draws: GroupDraws


def draw_groups(
    pictures: Sequence[PictureCounts], groups: Sequence[str], *, resamplings: int = RESAMPLINGS, seed: int = 0
) -> GroupDraws:
    """Draw the test groups again, with replacement.

    Groups with anomalies and groups without are drawn apart, so each resampling has as many of both as the test set.

    Args:
        pictures: counts of the test pictures by any detector; only the masks matter here.
        groups: the group of each.

    Raises:
        DataError: no picture is anomalous.
    """
    sizes = _sizes(pictures)
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)  # [pictures]
    anomalous = np.bincount(group_of, weights=sizes[:, 0])  # [groups], pixels
    if not anomalous.any():
        raise DataError(f"none of the {len(pictures)} test pictures is anomalous; a verdict needs at least one")
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamplings, len(anomalous)), np.int64)
    for kind in np.flatnonzero(anomalous > 0), np.flatnonzero(anomalous == 0):
        if len(kind):
            drawn[:, kind] = rng.multinomial(len(kind), np.full(len(kind), 1 / len(kind)), resamplings)
    return GroupDraws(
        weights=drawn[:, group_of],
        groups=int(np.count_nonzero(anomalous)),
        effective_groups=float(anomalous.sum() ** 2 / (anomalous**2).sum()),
        sizes=sizes,
    )


def score_arm(cells: Mapping[int, Sequence[PictureCounts]], draws: GroupDraws) -> ArmScores:
    """Pixel AP of each cell on the test set and on its resamplings.

    Args:
        cells: seed -> counts of the test pictures, in the order of `draws`.

    Raises:
        DataError: there is no cell, or the pictures of a cell are not those of `draws`.
    """
    if not cells:
        raise DataError("an arm has no cell; a verdict needs at least one seed")
    for seed, pictures in cells.items():
        if not np.array_equal(_sizes(pictures), draws.sizes):
            raise DataError(f"the cell of seed {seed} has other test pictures, or another order; arms must share them")
    seeds = tuple(sorted(cells))
    weights = np.concatenate([np.ones_like(draws.weights[:1]), draws.weights])  # first the test set itself
    scores = np.stack([resampled_ap(cells[seed], weights) for seed in seeds])
    return ArmScores(seeds, scores[:, 0], scores[:, 1:], draws)


def interval_of_mean(arm: ArmScores) -> Interval:
    """The mean pixel AP of one arm; its interval stays within 0..1."""
    return _interval(arm.values, arm.resampled, arm.draws, lowest=0.0)


def judge(base: ArmScores, other: ArmScores) -> Verdict:
    """Compare two arms, seed by seed.

    Raises:
        DataError: the arms have not the same seeds, or not the same resampled test sets.
    """
    if base.seeds != other.seeds:
        raise DataError(f"arms are compared seed by seed; one has the seeds {base.seeds}, the other {other.seeds}")
    if not np.array_equal(base.draws.weights, other.draws.weights):
        raise DataError("arms are compared on the same resampled test sets; score both with the same draws")
    interval = _interval(other.values - base.values, other.resampled - base.resampled, base.draws, lowest=-1.0)
    can_decide = interval.seeds > 1 and interval.groups > 1
    word: Word = "undecided"
    if can_decide and interval.low > 0:
        word = "helps"
    elif can_decide and interval.high < 0:
        word = "harms"
    return Verdict(
        word=word,
        difference=interval.mean,
        **interval.model_dump(exclude={"mean"}),
        enough=_enough(interval, base.draws.effective_groups) if word == "undecided" else None,
    )


def _sizes(pictures: Sequence[PictureCounts]) -> NDArray[np.int64]:
    return np.array([(each.positives.sum(), each.negatives.sum()) for each in pictures], np.int64)


def _interval(
    values: NDArray[np.float64], resampled: NDArray[np.float64], draws: GroupDraws, *, lowest: float
) -> Interval:
    """Of the mean of [S] values, with their [S, R] resamplings; both ends within `lowest`..1, the range of a value."""
    seeds = len(values)
    group_freedom = max(draws.effective_groups - 1, LEAST_FREEDOM)
    seed_deviation = float(values.std(ddof=1)) if seeds > 1 else None
    group_deviation = None
    if draws.groups > 1:
        # Drawing g of g groups gives a variance that is too small by (g - 1) / g.
        group_deviation = float(resampled.mean(axis=0).std(ddof=1) * np.sqrt((group_freedom + 1) / group_freedom))
    mean = float(values.mean())
    half = np.inf
    if seed_deviation is not None or group_deviation is not None:
        by_seeds, by_groups = (seed_deviation or 0.0) ** 2 / seeds, (group_deviation or 0.0) ** 2
        half = float(_half_width(SURE, by_seeds, max(seeds - 1, 1), by_groups, group_freedom))
    return Interval(
        mean=mean,
        low=max(mean - half, lowest),
        high=min(mean + half, 1.0),
        seeds=seeds,
        groups=draws.groups,
        seed_deviation=seed_deviation,
        group_deviation=group_deviation,
    )


def _half_width(
    probability: float, by_seeds: Numbers, seed_freedom: Numbers, by_groups: Numbers, group_freedom: Numbers
) -> NDArray[np.float64]:
    """From a mean to the quantile of `probability`, by both variances and their degrees of freedom; broadcasts."""

    def half(variance: Numbers, freedom: Numbers) -> NDArray[np.float64]:
        return np.where(np.asarray(variance) > 0, stdtrit(freedom, probability), 0.0) * np.sqrt(variance)

    total = np.asarray(by_seeds + by_groups)
    spread = np.asarray(by_seeds**2 / seed_freedom + by_groups**2 / group_freedom)
    both = half(total, np.divide(total**2, spread, out=np.ones_like(total), where=spread > 0))
    return np.maximum(both, np.maximum(half(by_seeds, seed_freedom), half(by_groups, group_freedom)))


def _enough(interval: Interval, effective_groups: float) -> str:
    """What would decide it with a chance of POWER, if the difference and both deviations stayed as they are."""
    if interval.seed_deviation is None:
        return "One seed cannot decide it, as it does not show how much seeds differ; run at least 3."
    if interval.group_deviation is None:
        return "One test group with anomalies cannot decide it; add test pictures of other parts."
    if interval.mean == 0:
        return "Both arms score the same, so there is no difference to decide."
    had_seeds, had_groups = interval.seeds, interval.groups
    more_seeds = np.arange(had_seeds + 1, MOST_SEEDS + 1)
    more_groups = np.arange(had_groups + 1, MOST_GROUPS + 1)
    times = np.arange(2, MOST_SEEDS)
    # Never both: were either part small enough to be left alone, the other would have decided it already.
    if seeds := _first(more_seeds, _decides(interval, effective_groups, more_seeds, had_groups)):
        return f"About {seeds} seeds instead of {had_seeds} would decide it, if the difference stayed."
    sentence = "No number of seeds decides it; more test pictures are needed: about {} test groups with anomalies {}."
    if groups := _first(more_groups, _decides(interval, effective_groups, had_seeds, more_groups)):
        return sentence.format(groups, f"instead of {had_groups}, if the difference stayed")
    if both := _first(times, _decides(interval, effective_groups, times * had_seeds, times * had_groups)):
        seeds = both * had_seeds
        return sentence.format(
            both * had_groups,
            f"instead of {had_groups}, and {seeds} seeds instead of {had_seeds}, if the difference stayed",
        )
    return "The difference is too small beside its spread to be decided by any number of seeds and test pictures."


def _decides(
    interval: Interval,
    effective_groups: float,
    seeds: NDArray[np.int64] | int,
    groups: NDArray[np.int64] | int,
) -> NDArray[np.bool_]:
    """[n], whether so many seeds and groups would decide the difference of `interval`, with a chance of POWER."""
    assert interval.seed_deviation is not None and interval.group_deviation is not None
    times = np.asarray(groups / interval.groups)
    parts = (
        interval.seed_deviation**2 / np.asarray(seeds),
        np.asarray(seeds) - 1,
        interval.group_deviation**2 / times,
        effective_groups * times - 1,
    )
    return abs(interval.mean) > _half_width(SURE, *parts) + _half_width(POWER, *parts)


def _first(values: NDArray[np.int64], chosen: NDArray[np.bool_]) -> int | None:
    return int(values[chosen.argmax()]) if chosen.any() else None
