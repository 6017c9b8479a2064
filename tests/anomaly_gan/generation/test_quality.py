"""The quality gate: limits from real images, what breaks them, and what is done about it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from anomaly_gan.config import GenerationConfig, MaskConfig, ModelConfig, QualityConfig, ViewConfig
from anomaly_gan.generation.gate import LIMITS, Limits, QualityGate, learn_gate
from anomaly_gan.generation.generate import generate
from anomaly_gan.generation.paste import paste
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.metrics.bands import RealismBand
from anomaly_gan.metrics.copies import CopyFinder
from anomaly_gan.metrics.realism import MEASURES, Appearance, appearance
from anomaly_gan.networks.generator import UNet
from anomaly_gan.samples.sample import Sample
from tests.support.builders import CLASS, abnormal_sample, generation_plan, normal_sample
from tests.support.pitted import (
    FEATHER_PX,
    PIT,
    SIDE,
    Painted,
    checkers,
    flat,
    noise,
    opaque,
    painted,
    pit_of,
    pitted,
    plain,
    shifted,
    translucent,
    unfilled,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WHOLE = ViewConfig(kind="whole", size=SIDE)
REALS, NORMALS = [pitted(i) for i in range(30)], [plain(i) for i in range(8)]
COUNT = 20


def gate_of(reals: list[Sample], tolerance: float = 0.5) -> QualityGate:
    return learn_gate(NORMALS, reals, PIT, WHOLE, QualityConfig(tolerance=tolerance), FEATHER_PX)


GATE = gate_of(REALS)


def broken_by(make: Callable[[int], Painted]) -> tuple[int, Counter[str]]:
    """How many of COUNT are kept, and how many break each limit."""
    verdicts = [GATE.judge(one.normal, one.image, one.mask) for one in map(make, range(COUNT))]
    return sum(not one.failed for one in verdicts), Counter(name for one in verdicts for name in one.failed)


def test_what_is_like_real_anomalies_is_kept() -> None:
    kept, _ = broken_by(lambda number: painted(number, opaque))
    assert kept >= 0.8 * COUNT


def test_real_anomalies_are_kept_each_held_against_the_others() -> None:
    kept = 0
    for part in range(5):
        gate = gate_of([one for number, one in enumerate(REALS) if number % 5 != part])
        # laid into another picture, where the gate sees them as generated ones
        for number in range(part, len(REALS), 5):
            content, mask = pit_of(number)
            normal = NORMALS[number % len(NORMALS)].image
            kept += not gate.judge(normal, paste(normal, content, mask, FEATHER_PX), mask).failed
    assert kept >= 0.85 * len(REALS)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda number: painted(number, flat), "texture"),
        (lambda number: painted(number, noise), "coherence"),
        (lambda number: painted(number, checkers), "grid"),
        (unfilled, "fill_recall"),
        (translucent, "behind"),
        (shifted, "fill_precision"),
    ],
    ids=["flat", "noise", "checkers", "unfilled", "translucent", "shifted"],
)
def test_a_painter_is_refused_for_what_it_is(make: Callable[[int], Painted], named: str) -> None:
    kept, broken = broken_by(make)
    assert kept == 0 and broken[named] >= 0.9 * COUNT


def test_a_known_anomaly_in_another_picture_is_a_copy() -> None:
    for number, one in enumerate(REALS[:6]):
        image, mask = (np.ascontiguousarray(np.rot90(plane, number)) for plane in (one.image, one.masks[PIT]))
        laid = np.where(mask > 0, image, NORMALS[number].image).astype(np.uint8)
        verdict = GATE.judge(NORMALS[number].image, laid, mask)
        assert "copy" in verdict.failed and verdict.nearest_key == one.key


def test_every_limit_has_a_name_and_every_measure_is_told() -> None:
    verdict = GATE.judge(*vars(painted(0, opaque)).values())
    assert set(MEASURES) < set(LIMITS) and set(verdict.measures) == {
        *MEASURES,
        *("area_px", "fill_recall", "fill_precision", "behind"),
    }
    assert verdict.excess == max(verdict.unlikeness - GATE.typical, 0)


def test_tolerance_moves_the_limits_outwards() -> None:
    narrow, wide = gate_of(REALS, 0.0).limits, gate_of(REALS, 0.9).limits
    assert wide.distance == 1.9 > narrow.distance > 1  # real images themselves are farther out than their bands
    assert wide.copy == pytest.approx(narrow.copy / 10)
    assert wide.fill_recall <= narrow.fill_recall


def test_the_limits_keep_at_least_nine_of_ten_real_images() -> None:
    found = [GATE.real.unlikeness(looks) <= GATE.limits.unlikeness for looks in map(looks_of, REALS)]
    assert np.mean(found) >= 0.9 and GATE.limits.unlikeness < 2


def looks_of(one: Sample) -> Appearance:
    return appearance(one.image, one.masks[PIT])


def test_the_order_of_the_pictures_does_not_matter() -> None:
    window = ViewConfig(kind="window", size=64)  # cut out by chance, of each picture alike
    forwards, backwards = (
        learn_gate(normals, reals, PIT, window, QualityConfig(), FEATHER_PX)
        for normals, reals in ((NORMALS, REALS), (NORMALS[::-1], REALS[::-1]))
    )
    assert asdict(backwards.limits) == pytest.approx(asdict(forwards.limits), rel=1e-9)  # sums of another memory layout
    assert backwards.real.bands == forwards.real.bands


def test_of_a_single_real_picture_there_are_no_bands_but_a_mask_must_still_be_filled() -> None:
    alone = gate_of(REALS[:1])
    empty, made = unfilled(1), painted(1, opaque)
    assert alone.judge(empty.normal, empty.image, empty.mask).failed == ("fill_recall",)
    assert alone.judge(made.normal, made.image, made.mask).failed == ()


def test_few_real_pictures_make_a_wider_gate() -> None:
    few = gate_of(REALS[:5])
    kept = [not few.judge(one.normal, one.image, one.mask).failed for one in (painted(i, opaque) for i in range(COUNT))]
    assert np.mean(kept) >= 0.7
    flats = [few.judge(one.normal, one.image, one.mask) for one in (painted(i, flat) for i in range(COUNT))]
    assert all(one.failed for one in flats)


class Sometimes(UNet):
    """Draws a hole where the picture below the mask is dark, as decided by chance, and nothing elsewhere."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        inside = (image * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True) / 3
        return image - 0.8 * mask * (inside < 0.02)


def plan(**quality: object) -> GenerationPlan:
    config = GenerationConfig.model_validate({"quality": quality})
    limits = Limits(distance=99, unlikeness=99, fill_recall=0.5, fill_precision=0, behind=1, copy=0)
    blind = RealismBand({}, np.eye(len(MEASURES)), {})
    known = CopyFinder([abnormal_sample(0)], CLASS)
    return replace(
        generation_plan(masks=MaskConfig(pose="free")),
        config=config,
        gate=QualityGate(blind, 0.0, limits, known, 5.0, FEATHER_PX),
    )


def sometimes() -> Sometimes:
    return Sometimes(ModelConfig(generator_widths=(4, 4)))


def test_what_is_not_kept_is_planned_anew_and_recorded() -> None:
    once = generate(plan(tries=1), range(24), sometimes())
    often = generate(plan(tries=8), range(24), sometimes())
    kept = [made.is_kept for made in once]
    assert 4 < sum(kept) < 20
    assert sum(made.is_kept for made in often) == 24
    for first, made in zip(once, often, strict=True):
        told = made.sample.meta["quality"]
        assert told["kept"] and told["failed"] == ()
        assert told["attempt"] == len(told["tries"]) - 1
        assert all(failed == ("fill_recall",) for failed in told["tries"][:-1])
        if first.is_kept:
            assert np.array_equal(first.sample.image, made.sample.image) and told["attempt"] == 0
        else:
            assert not np.array_equal(first.mask, made.mask)


def test_tries_have_an_end_and_the_rest_is_there_but_not_kept() -> None:
    blank = Sometimes(ModelConfig(generator_widths=(4, 4)))
    blank.forward = lambda image, *_: image  # type: ignore[method-assign]
    for made in generate(plan(tries=3), range(4), blank):
        told = made.sample.meta["quality"]
        assert (told["kept"], told["failed"], len(told["tries"])) == (False, ("fill_recall",), 3)


def test_of_several_kept_tries_the_best_is_taken() -> None:
    for made in generate(plan(tries=12, best_of=3), range(8), sometimes()):
        tries = made.sample.meta["quality"]["tries"]
        assert sum(failed == () for failed in tries) == 3 and tries[-1] == ()


def test_the_best_is_the_one_most_like_real_anomalies_and_not_the_largest() -> None:
    judging = learn_gate(
        [normal_sample(i) for i in range(4)],
        [abnormal_sample(i) for i in range(8)],
        CLASS,
        ViewConfig(kind="window", size=64),
        QualityConfig(),
        FEATHER_PX,
    )
    every = Limits(distance=99, unlikeness=99, fill_recall=0, fill_precision=0, behind=1, copy=0)
    gate = QualityGate(judging.real, judging.typical, every, CopyFinder([abnormal_sample(0)], CLASS), 5.0, FEATHER_PX)
    first, best = (
        generate(replace(plan(tries=6, best_of=best_of), gate=gate), range(12), uneven()) for best_of in (1, 6)
    )
    one, other = ([float(made.sample.meta["quality"]["unlikeness"]) for made in several] for several in (first, best))
    assert np.mean(other) < np.mean(one) - 0.2
    assert all(after <= max(before, judging.typical) for before, after in zip(one, other, strict=True))
    assert np.mean([made.mask.sum() for made in best]) < 1.1 * np.mean([made.mask.sum() for made in first])


def uneven() -> UNet:
    """Holes of the right darkness in some pictures and of a wrong one in others, as their pixels decide."""
    generator = Sometimes(ModelConfig(generator_widths=(4, 4)))

    def forward(image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        depth = (image.mean((1, 2, 3), keepdim=True) * 1000).sin().abs()
        return image * (1 - mask) + mask * ((image + 1) * (1 - depth) - 1)

    generator.forward = forward  # type: ignore[method-assign]
    return generator


def test_an_image_is_the_same_whatever_is_made_with_it_though_others_are_tried_anew() -> None:
    together = generate(plan(tries=8), range(12), sometimes())
    for index in (2, 7, 11):
        [alone] = generate(plan(tries=8), [index], sometimes())
        assert np.array_equal(alone.sample.image, together[index].sample.image)
        assert alone.sample.meta == together[index].sample.meta


def test_without_a_gate_nothing_is_judged() -> None:
    [made] = generate(replace(plan(), gate=None), [0], sometimes())
    assert made.is_kept and "quality" not in made.sample.meta


def test_more_are_to_be_kept_than_are_tried_is_refused() -> None:
    with pytest.raises(ValueError, match="best_of must not be above tries, got 5 and 4"):
        QualityConfig(best_of=5)
