"""The verdict: intervals by hand and by simulated studies, words that match them, and what would be enough."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

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
from anomaly_gan.metrics.pixels import BINS, PictureCounts, pixel_scores
from infra.errors import DataError

LEVELS = np.linspace(0, 1, 32)
Cells = dict[int, list[PictureCounts]]


def histogram(quality: float, pixels: float) -> NDArray[np.int64]:
    """[BINS], scores around `quality`; exactly so many pixels."""
    chances = np.exp(-0.5 * ((LEVELS - quality) / 0.15) ** 2)
    counts = np.zeros(BINS, np.int64)
    counts[:: BINS // len(LEVELS)] = np.diff(np.rint(pixels * chances.cumsum() / chances.sum()), prepend=0)
    return counts


NORMAL = histogram(0.15, 20_000)


def picture(quality: float, pixels: float) -> PictureCounts:
    """With one anomaly, or without where there are no pixels."""
    positives = histogram(quality, pixels) if pixels else np.zeros(BINS, np.int64)
    return PictureCounts(positives, NORMAL, positives / max(positives.sum(), 1), int(pixels > 0), quality)


def simulate(
    seed: int, seeds: int, groups: int, *, effect: float = 0.0, by_seed: float = 0.02, by_group: float = 0.06
) -> tuple[Cells, Cells]:
    """Cells of a base and of another arm that is better by `effect`, of one picture a group.

    What is easy differs between groups and between seeds in both arms alike, and by `by_group` and `by_seed` in each
    arm on its own, so that a study of no effect has a difference by chance alone.
    """
    rng = np.random.default_rng(seed)
    pixels = np.exp(rng.normal(6, 0.5, groups)).round() + 20
    both = 0.5 + rng.normal(0, 0.1, groups) + rng.normal(0, 0.03, (seeds, 1))  # [S, groups]
    arms: list[Cells] = []
    for better in (0.0, effect):
        quality = both + better + rng.normal(0, by_group, groups) + rng.normal(0, by_seed, (seeds, 1))
        arms.append({s: [picture(q, n) for q, n in zip(quality[s], pixels, strict=True)] for s in range(seeds)})
    return arms[0], arms[1]


def judged(base: Cells, other: Cells, names: Sequence[str] = (), resamplings: int = 300) -> Verdict:
    pictures = next(iter(base.values()))
    draws = draw_groups(pictures, names or [f"part {i}" for i in range(len(pictures))], resamplings=resamplings)
    return judge(score_arm(base, draws), score_arm(other, draws))


def made(
    values: Sequence[float], by_group: float = 0.0, *, groups: int = 10, effective_groups: float | None = None
) -> ArmScores:
    """An arm of these values, whose mean varies with this deviation over resampled test sets."""
    wave = np.resize([1.0, -1.0], 1000)
    wave *= by_group / wave.std(ddof=1)
    draws = GroupDraws(np.ones((1000, 1), np.int64), groups, effective_groups or groups, np.ones((1, 2), np.int64))
    scores = np.array(values, np.float64)
    return ArmScores(tuple(range(len(values))), scores, scores[:, None] + wave, draws)


def against_zero(values: Sequence[float], by_group: float = 0.0, *, groups: int = 10) -> Verdict:
    other = made(values, by_group, groups=groups)
    return judge(made([0.0] * len(values), groups=groups), other)


def test_seeds_alone_give_the_interval_of_a_paired_t_test() -> None:
    base, other = [0.50, 0.61, 0.42], [0.58, 0.66, 0.53]
    verdict = judge(made(base), made(other))
    wanted = stats.ttest_rel(other, base).confidence_interval(0.95)
    assert [verdict.low, verdict.high] == pytest.approx([wanted.low, wanted.high])
    assert verdict.difference == pytest.approx(0.08)
    assert verdict.seed_deviation == pytest.approx(0.03)


def test_both_variances_add_up_with_the_freedom_of_welch_and_satterthwaite() -> None:
    verdict = against_zero([0.10, 0.16, 0.04, 0.10], by_group=0.03)
    by_seeds, by_groups = 0.0024 / 4, 0.03**2 * 10 / 9
    freedom = (by_seeds + by_groups) ** 2 / (by_seeds**2 / 3 + by_groups**2 / 9)
    half = stats.t.ppf(0.975, freedom) * (by_seeds + by_groups) ** 0.5
    assert [verdict.low, verdict.high] == pytest.approx([0.1 - half, 0.1 + half])
    assert verdict.group_deviation == pytest.approx(0.03 * (10 / 9) ** 0.5)


def test_two_seeds_are_never_surer_than_their_own_spread() -> None:
    verdict = against_zero([0.30, 0.20], by_group=0.03, groups=20)
    assert verdict.high - verdict.difference == pytest.approx(stats.t.ppf(0.975, 1) * 0.05)


def test_without_a_difference_a_word_is_rarely_given() -> None:
    """In 1500 runs of each: 2 % and 3 % of 2 seeds with 8 and 20 groups, 4 % and 4 % of 3 seeds, 5 % and 5 % of 5."""
    runs = 100
    given = [  # share of words other than "undecided"
        sum(judged(*simulate(run, seeds, groups)).word != "undecided" for run in range(runs)) / runs
        for seeds in (2, 3, 5)
        for groups in (8, 20)
    ]
    assert np.mean(given) <= 0.07
    assert max(given) <= 0.12  # three deviations of 100 runs above 5 %


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("groups", [8, 20])
def test_a_clear_difference_has_its_word(seeds: int, groups: int) -> None:
    arms = [simulate(run, seeds, groups, effect=0.3) for run in range(40)]
    assert [judged(base, other).word for base, other in arms].count("helps") >= 38
    assert [judged(other, base).word for base, other in arms].count("harms") >= 38


def test_words_match_their_intervals() -> None:
    for run in range(40):
        verdict = judged(*simulate(run, 3, 8, effect=0.01 * (run - 20)))
        assert verdict.low <= verdict.difference <= verdict.high
        assert verdict.word == ("helps" if verdict.low > 0 else "harms" if verdict.high < 0 else "undecided")
        assert (verdict.enough is None) == (verdict.word != "undecided")


def test_seeds_that_are_not_paired_give_a_wrong_interval() -> None:
    rng = np.random.default_rng(0)
    luck = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])  # of a seed, in both arms
    base = [0.5 + luck[s] + 0.01 * rng.normal() for s in range(5)]
    other = [0.56 + luck[s] + 0.01 * rng.normal() for s in range(5)]
    paired, unpaired = judge(made(base), made(other)), judge(made(base), made([*other[2:], *other[:2]]))
    assert paired.word == "helps" and paired.low < 0.06 < paired.high
    assert unpaired.difference == pytest.approx(paired.difference)
    assert unpaired.word == "undecided"
    assert unpaired.high - unpaired.low > 10 * (paired.high - paired.low)


def test_arms_are_judged_on_the_same_resampled_groups() -> None:
    """Groups differ in how easy they are, in both arms alike; apart, that would drown the difference."""
    base, other = simulate(0, 3, 12, effect=0.15, by_seed=0.005, by_group=0.005)
    draws, others = (draw_groups(base[0], [str(i) for i in range(12)], resamplings=300, seed=seed) for seed in range(2))
    verdict = judge(score_arm(base, draws), score_arm(other, draws))
    apart = judge(score_arm(base, draws), replace(score_arm(other, others), draws=draws))
    assert verdict.word == "helps"
    assert apart.group_deviation is not None and verdict.group_deviation is not None
    assert apart.group_deviation > 2 * verdict.group_deviation
    with pytest.raises(DataError, match="same resampled test sets"):
        judge(score_arm(base, draws), score_arm(other, others))


def test_pictures_of_a_group_are_drawn_together() -> None:
    pictures = [picture(0.5, n) for n in (100, 100, 0, 100, 0, 0)]
    draws = draw_groups(pictures, ["b", "a", "c", "b", "c", "d"], resamplings=50)
    weights = draws.weights
    assert (weights[:, 0] == weights[:, 3]).all() and (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] == 2).all()  # groups with anomalies
    assert (weights[:, 2] + weights[:, 5] == 2).all()  # and those without
    assert draws.groups == 2
    assert draws.effective_groups == pytest.approx(3**2 / (2**2 + 1**2), rel=0.05)
    assert len(np.unique(weights, axis=0)) > 4


def test_pictures_of_one_group_are_worth_less_than_as_many_groups() -> None:
    base, other = simulate(3, 3, 16, effect=0.1, by_seed=0.0)
    apart = judged(base, other)
    together = judged(base, other, [f"part {i // 4}" for i in range(16)])
    assert (apart.groups, together.groups) == (16, 4)
    assert apart.difference == together.difference
    assert together.high - together.low > apart.high - apart.low


def test_one_seed_has_an_interval_of_its_groups_and_no_word() -> None:
    base, other = simulate(0, 1, 20, effect=0.3)
    verdict = judged(base, other)
    assert verdict.word == "undecided" and verdict.seed_deviation is None
    assert 0 < verdict.low < verdict.difference < verdict.high
    assert verdict.enough is not None and verdict.enough.startswith("One seed cannot decide it")


def test_one_group_has_no_word_and_with_one_seed_any_difference_is_possible() -> None:
    base, other = simulate(0, 3, 1, effect=0.3)
    verdict = judged(base, other)
    assert verdict.word == "undecided" and verdict.group_deviation is None
    assert verdict.enough is not None and verdict.enough.startswith("One test group with anomalies cannot decide it")
    verdict = judged(*simulate(0, 1, 1, effect=0.3))
    assert (verdict.low, verdict.high) == (-1, 1)


def test_a_group_with_nearly_all_anomalous_pixels_is_worth_one_group() -> None:
    pictures = [picture(0.5, 1_000_000), picture(0.4, 2)]
    cells = {0: pictures, 1: [picture(0.7, 1_000_000), picture(0.4, 2)]}
    verdict = judged(cells, {0: cells[1], 1: cells[1]})
    assert (verdict.groups, verdict.word) == (2, "undecided")
    assert (verdict.low, verdict.high) == (-1, 1)


def test_arms_that_are_the_same_differ_by_nothing() -> None:
    base, _ = simulate(0, 3, 8)
    verdict = judged(base, base)
    assert (verdict.word, verdict.difference, verdict.low, verdict.high) == ("undecided", 0, 0, 0)
    assert verdict.enough == "Both arms score the same, so there is no difference to decide."


def power(difference: float, by_seeds: float, seeds: int, by_groups: float, groups: float) -> bool:
    """Is the difference decided with a chance of 0.8? By a t test with the freedom of the larger part."""
    drawn = np.random.default_rng(0).normal(difference, (by_seeds**2 / seeds + by_groups**2) ** 0.5, 4000)
    rng = np.random.default_rng(1)
    first = by_seeds**2 / seeds * rng.chisquare(seeds - 1, 4000) / (seeds - 1)
    second = by_groups**2 * rng.chisquare(groups - 1, 4000) / (groups - 1)
    freedom = (first + second) ** 2 / (first**2 / (seeds - 1) + second**2 / (groups - 1))
    return float((drawn > stats.t.ppf(0.975, freedom) * (first + second) ** 0.5).mean()) > 0.8


def numbers(sentence: str | None) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", sentence or "")]


def test_enough_says_how_many_seeds_or_groups_decide_it_in_four_of_five_studies() -> None:
    verdict = against_zero([0.02, 0.10, -0.03], by_group=0.006)
    assert verdict.word == "undecided" and verdict.seed_deviation is not None
    assert verdict.enough is not None
    assert re.fullmatch(r"About \d+ seeds instead of 3 would decide it, if the difference stayed\.", verdict.enough)
    seeds, _ = numbers(verdict.enough)
    assert power(0.03, verdict.seed_deviation, seeds, 0.0063, 10)
    assert not power(0.03, verdict.seed_deviation, round(seeds * 0.85), 0.0063, 10)


def test_enough_asks_for_pictures_where_the_groups_spread_is_larger_than_the_difference() -> None:
    verdict = against_zero([0.030, 0.031, 0.029], by_group=0.04)
    assert verdict.enough is not None
    assert re.fullmatch(
        r"No number of seeds decides it; more test pictures are needed: about \d+ test groups with anomalies "
        r"instead of 10, if the difference stayed\.",
        verdict.enough,
    )
    groups, _ = numbers(verdict.enough)
    assert power(0.03, 0.001, 3, 0.04 * (10 / groups) ** 0.5, groups)
    assert not power(0.03, 0.001, 3, 0.04 * (10 / groups / 0.85) ** 0.5, groups)


def test_enough_asks_for_seeds_and_pictures_where_neither_alone_decides_it() -> None:
    verdict = against_zero([0.02, 0.10, -0.03], by_group=0.04)
    assert verdict.enough is not None
    assert re.fullmatch(
        r"No number of seeds decides it; more test pictures are needed: about \d+ test groups with anomalies "
        r"instead of 10, and \d+ seeds instead of 3, if the difference stayed\.",
        verdict.enough,
    )


def test_a_difference_next_to_none_is_said_to_be_beyond_any_study() -> None:
    verdict = against_zero([0.10, -0.10, 0.0001], by_group=0.04)
    assert verdict.enough == (
        "The difference is too small beside its spread to be decided by any number of seeds and test pictures."
    )


def test_the_interval_of_one_arm_is_of_its_own_scores_and_stays_in_their_range() -> None:
    base, _ = simulate(0, 3, 8)
    draws = draw_groups(base[0], [str(i) for i in range(8)], resamplings=300)
    arm = score_arm(base, draws)
    interval = interval_of_mean(arm)
    aps = [pixel_scores(base[seed]).pixel_ap for seed in range(3)]
    assert arm.values == pytest.approx(np.array(aps))
    assert interval.mean == pytest.approx(np.mean(aps))
    assert interval.seed_deviation == pytest.approx(np.std(aps, ddof=1))
    assert 0 < interval.low < interval.mean < interval.high < 1
    wide = interval_of_mean(made([0.1, 0.9], 0.1))
    assert (wide.low, wide.high) == (0, 1)


def test_the_interval_of_one_arm_holds_what_other_seeds_and_groups_would_give() -> None:
    def interval(run: int) -> Interval:
        base, _ = simulate(run, 3, 12)
        return interval_of_mean(score_arm(base, draw_groups(base[0], [str(i) for i in range(12)], resamplings=300)))

    truth = np.mean([interval(1000 + run).mean for run in range(200)])
    assert sum(each.low <= truth <= each.high for each in map(interval, range(200))) >= 0.93 * 200


def test_a_verdict_is_the_same_whenever_it_is_asked_for() -> None:
    assert judged(*simulate(0, 3, 8)) == judged(*simulate(0, 3, 8))


def without_a_seed(base: Cells, other: Cells) -> None:
    del other[1]


def in_another_order(base: Cells, other: Cells) -> None:
    other[1].reverse()


def without_a_picture(base: Cells, other: Cells) -> None:
    other[1].pop()


def without_cells(base: Cells, other: Cells) -> None:
    other.clear()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (without_a_seed, r"one has the seeds \(0, 1, 2\), the other \(0, 2\)"),
        (in_another_order, "seed 1 has other test pictures, or another order"),
        (without_a_picture, "seed 1 has other test pictures, or another order"),
        (without_cells, "an arm has no cell"),
    ],
)
def test_cells_that_are_not_paired_are_refused(fault: Callable[[Cells, Cells], None], message: str) -> None:
    base, other = simulate(0, 3, 8)
    fault(base, other)
    with pytest.raises(DataError, match=message):
        judged(base, other)


def test_a_test_set_without_anomaly_has_no_verdict() -> None:
    with pytest.raises(DataError, match="none of the 2 test pictures is anomalous"):
        draw_groups([picture(0.5, 0), picture(0.5, 0)], ["a", "b"])
