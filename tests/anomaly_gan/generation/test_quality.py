"""The quality gate: limits from real images, what breaks them, and what is done about it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from anomaly_gan.config import GenerationConfig, MaskConfig, ModelConfig, QualityConfig, ViewConfig
from anomaly_gan.generation.gate import LIMITS, QualityGate, fingerprint, learn_gate, sharpness
from anomaly_gan.generation.generate import generate
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.metrics.mask_change import MaskChange
from anomaly_gan.networks.generator import UNet
from anomaly_gan.samples.sample import Sample
from tests.support.builders import CLASS, abnormal_sample, generation_plan, normal_sample

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOW = ViewConfig(kind="window", size=64)
REALS = [abnormal_sample(i) for i in range(6)]
FINE = MaskChange(
    in_mask_change=100.0,
    background_mae_raw=0.0,
    background_mae_pasted=0.0,
    background_slope=1.0,
    grid_excess=0.0,
    mask_hit=1.0,
)


def gate(tolerance: float = 0.5) -> QualityGate:
    return learn_gate([normal_sample(i) for i in range(4)], REALS, CLASS, WINDOW, QualityConfig(tolerance=tolerance))


def unlike(seed: int = 50) -> Sample:
    """An anomaly that is like the real ones, and none of them."""
    sample = abnormal_sample(seed)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[::-1, ::-1]),
        masks={CLASS: sample.masks[CLASS][::-1, ::-1].copy()},
    )


def test_real_anomalies_of_other_pictures_are_kept() -> None:
    for seed in range(30, 60):
        other = unlike(seed)
        assert gate().judge(other.image, other.masks[CLASS], FINE).failed == ()


def test_limits_lie_beyond_the_real_images_by_the_tolerance() -> None:
    exact, wide = gate(0.0).limits, gate(0.5).limits
    assert wide.in_mask_change == pytest.approx(exact.in_mask_change / 2)
    assert wide.mask_hit == pytest.approx(exact.mask_hit / 2)
    assert wide.background == pytest.approx(exact.background * 1.5)
    assert wide.sharpness == pytest.approx((exact.sharpness[0] / 2, exact.sharpness[1] * 1.5))
    assert wide.nearest_real == pytest.approx(exact.nearest_real / 2)
    assert 60 < exact.in_mask_change < 130  # the holes are an eighth as bright as their surroundings


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (replace(FINE, in_mask_change=1.0), "in_mask_change"),
        (replace(FINE, mask_hit=0.001), "mask_hit"),
        (replace(FINE, background_mae_raw=90.0), "background"),
    ],
)
def test_a_measure_beyond_its_limit_is_named(change: MaskChange, broken: str) -> None:
    other = unlike()
    assert gate().judge(other.image, other.masks[CLASS], change).failed == (broken,)


def test_an_undefined_measure_breaks_nothing() -> None:
    other = unlike()
    nothing = MaskChange(None, None, None, None, None, None)
    assert gate().judge(other.image, other.masks[CLASS], nothing).failed == ()


def test_a_blurred_anomaly_is_not_sharp() -> None:
    other = unlike()
    blurred = cv2.GaussianBlur(other.image, (0, 0), 6).astype(np.uint8)
    verdict = gate().judge(blurred, other.masks[CLASS], FINE)
    assert "sharpness" in verdict.failed
    assert verdict.sharpness < sharpness(other.image, other.masks[CLASS]) / 3


@pytest.mark.parametrize("number", range(6))
def test_a_copy_of_a_training_image_is_recognised_wherever_its_light_was_moved(number: int) -> None:
    real = REALS[number]
    brighter = np.clip(real.image.astype(int) + 20, 0, 255).astype(np.uint8)
    verdict = gate().judge(brighter, real.masks[CLASS], FINE)
    assert verdict.failed == ("copy",)
    assert verdict.nearest_key == real.key and verdict.nearest_real < 1


def test_colour_is_judged_by_its_mean() -> None:
    grey = unlike()
    colour = np.repeat(grey.image[:, :, None], 3, axis=2)
    assert sharpness(colour, grey.masks[CLASS]) == pytest.approx(sharpness(grey.image, grey.masks[CLASS]))
    assert np.allclose(fingerprint(colour, grey.masks[CLASS]), fingerprint(grey.image, grey.masks[CLASS]))


def test_of_a_single_real_picture_nothing_is_a_copy() -> None:
    alone = learn_gate([normal_sample(0)], REALS[:1], CLASS, WINDOW, QualityConfig())
    assert alone.judge(REALS[0].image, REALS[0].masks[CLASS], FINE).failed == ()


class Sometimes(UNet):
    """Draws a hole where the picture below the mask is dark, as decided by chance, and nothing elsewhere."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        inside = (image * mask).sum((1, 2, 3), keepdim=True) / mask.sum((1, 2, 3), keepdim=True) / 3
        return image - 0.8 * mask * (inside < 0.02)


def plan(**quality: object) -> GenerationPlan:
    config = GenerationConfig.model_validate({"quality": quality})
    limits = replace(gate().limits, sharpness=(0.0, 255.0), nearest_real=0.0, mask_hit=0.0)
    fixed = QualityGate(limits, ["none"], np.full((1, 32, 32), 1e3, np.float32))
    return replace(generation_plan(masks=MaskConfig(pose="free")), config=config, gate=fixed)


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
        assert all(failed == ("in_mask_change",) for failed in told["tries"][:-1])
        if first.is_kept:
            assert np.array_equal(first.sample.image, made.sample.image) and told["attempt"] == 0
        else:
            assert not np.array_equal(first.mask, made.mask)


def test_tries_have_an_end_and_the_rest_is_there_but_not_kept() -> None:
    blank = Sometimes(ModelConfig(generator_widths=(4, 4)))
    blank.forward = lambda image, *_: image  # type: ignore[method-assign]
    for made in generate(plan(tries=3), range(4), blank):
        told = made.sample.meta["quality"]
        assert (told["kept"], told["failed"], len(told["tries"])) == (False, ("in_mask_change",), 3)


def test_of_several_kept_tries_the_best_is_taken() -> None:
    for made in generate(plan(tries=12, best_of=3), range(8), sometimes()):
        tries = made.sample.meta["quality"]["tries"]
        assert sum(failed == () for failed in tries) == 3 and tries[-1] == ()
    hits = [
        np.mean([made.change.mask_hit for made in generate(plan(tries=12, best_of=best), range(12), noisy())])
        for best in (1, 6)
    ]
    assert hits[1] > hits[0]


def noisy() -> UNet:
    """Holes whose surroundings are disturbed by chance."""
    generator = Sometimes(ModelConfig(generator_widths=(4, 4)))

    def forward(image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        disturbed = torch.roll(image, 7, dims=3) * (image.mean((1, 2, 3), keepdim=True) * 100).sin().abs()
        return image - 0.8 * mask - 0.5 * disturbed

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


def test_every_limit_has_a_name() -> None:
    other = unlike()
    broken = gate().judge(
        np.full_like(other.image, 99),
        other.masks[CLASS],
        replace(FINE, in_mask_change=0.0, mask_hit=0.0, background_mae_raw=99.0),
    )
    assert set(broken.failed) | {"copy"} == set(LIMITS)
