"""Full frames of which a window was changed, and other light on them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anomaly_gan.config import GenerationConfig, LightConfig
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.generation.light import Light, draw_light, relight
from anomaly_gan.generation.paste import into_frame
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.severity import contrast
from infra.errors import DataError
from tests.support.builders import CLASS, generation_plan, normal_sample, picture, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")

LIGHT = {"max_gain": 0.3, "max_gradient": 0.3, "max_exposure": 0.5}


def frames(shape: tuple[int, ...] = (150, 210), **config: Any) -> list[Generated]:
    return generate(generation_plan(shape, output="frame", **config), range(12), tiny_generator(blend=False))


@pytest.mark.parametrize("shape", [(150, 210), (150, 210, 3), (64, 200), (1400, 2048)])
def test_a_frame_is_the_normal_picture_but_for_a_window_around_the_mask(shape: tuple[int, ...]) -> None:
    normals = {sample.key: sample.image for sample in generation_plan(shape).normals}
    made = generate(
        generation_plan(shape, output="frame"), range(12), tiny_generator(blend=False, gray=len(shape) == 2)
    )
    for one in made:
        normal, mask = normals[one.sample.meta["normal"]], one.sample.masks[CLASS]
        assert one.sample.image.shape == shape and mask.shape == shape[:2]
        left, top, size = one.sample.meta["window"]
        window = np.s_[top : top + size, left : left + size]
        assert np.array_equal(mask[window], one.mask) and mask.sum() == one.mask.sum() > 0
        assert np.array_equal(one.sample.image[window], one.pasted) and np.array_equal(normal[window], one.normal)
        outside = np.ones(shape[:2], bool)
        outside[window] = False
        assert np.array_equal(one.sample.image[outside], normal[outside])
        assert (one.sample.image[mask == 1] != normal[mask == 1]).any()


def test_no_border_of_a_window_cuts_the_feather() -> None:
    for one in frames():
        left, top, size = one.sample.meta["window"]
        rows, columns = np.nonzero(one.mask)
        height, width = one.sample.image.shape[:2]
        for near, far, start, length in (
            (rows.min(), rows.max(), top, height),
            (columns.min(), columns.max(), left, width),
        ):
            if far - near < size - 8:  # else the mask leaves no room for a feather of 4 px
                assert near >= 4 or start == 0
                assert size - 1 - far >= 4 or start + size == length


def test_masks_lie_where_the_view_alone_has_them() -> None:
    views = generate(generation_plan((150, 210)), range(12), tiny_generator())
    for one, view in zip(frames(), views, strict=True):
        left, top, _ = view.sample.meta["window"]
        whole = np.zeros((150, 210), np.uint8)
        assert np.array_equal(one.sample.masks[CLASS], into_frame(whole, view.mask, left, top))
        moved = one.sample.meta["window"]
        for mine, its in zip(one.sample.meta["placements"], view.sample.meta["placements"], strict=True):
            assert (mine["left"] + moved[0], mine["top"] + moved[1]) == (its["left"] + left, its["top"] + top)


def test_a_whole_view_is_its_frame() -> None:
    plan = generation_plan((64, 64), kind="whole", output="frame")
    [made] = generate(plan, [0], tiny_generator())
    assert np.array_equal(made.sample.image, made.pasted)


def test_frames_smaller_than_the_window_are_passed_over() -> None:
    plan = generation_plan((150, 210), output="frame")
    mixed = replace(plan, normals=[normal_sample(9, (40, 210)), *plan.normals])
    assert all(mixed.planned(index).normal.key != "normal-009" for index in range(30))
    small = replace(plan, normals=[normal_sample(9, (40, 210))])
    with pytest.raises(DataError, match="all 1 normal pictures are smaller than the window of 64 px"):
        small.planned(0)


def test_light_falls_on_background_and_anomaly_together_and_is_recorded() -> None:
    for lit, plain in zip(frames(light=LIGHT), frames(), strict=True):
        light = Light(**lit.sample.meta["light"])
        assert np.array_equal(lit.sample.image, relight(plain.sample.image, light))
        assert np.array_equal(lit.sample.masks[CLASS], plain.sample.masks[CLASS])
        assert lit.sample.meta["measures"] == plain.sample.meta["measures"]
        assert plain.sample.meta["light"] is None
    assert len({lit.sample.meta["light"]["gain"] for lit in frames(light=LIGHT)}) == 12


def test_severity_is_measured_on_the_picture_that_is_delivered() -> None:
    for lit in frames(light=LIGHT):
        [mask] = lit.sample.masks.values()
        assert lit.sample.meta["severity"]["contrast_levels"] == contrast(lit.sample.image, mask)


def test_light_stays_within_its_ranges_and_zero_is_none() -> None:
    rng = np.random.default_rng(0)
    assert draw_light(LightConfig(), rng) is None
    drawn = [light for _ in range(200) if (light := draw_light(LightConfig.model_validate(LIGHT), rng))]
    assert len(drawn) == 200
    assert all(
        abs(light.gain - 1) <= 0.3 and 0 <= light.gradient <= 0.3 and abs(light.exposure) <= 0.5 for light in drawn
    )
    assert max(light.gain for light in drawn) > 1.2 and min(light.exposure for light in drawn) < -0.4


def test_each_kind_of_light_does_what_its_name_says() -> None:
    image = np.full((41, 61), 100, np.uint8)
    assert (relight(image, Light(1.2, 0, 0, 0)) == 120).all()
    across = relight(image, Light(1, 0.3, 0, 0))
    assert across[20, -1] > across[20, 30] == 100 > across[20, 0] and (across[0] == across[-1]).all()
    upward = relight(image, Light(1, 0.3, 90, 0))
    assert upward[0, 30] > 100 > upward[-1, 30]
    ends = np.array([[0, 100, 255]], np.uint8)
    lifted = relight(ends, Light(1, 0, 0, 1))[0]
    assert lifted.tolist() == [0, round(255 * (100 / 255) ** 0.5), 255]
    assert relight(np.array([[250]], np.uint8), Light(2, 0, 0, 0)).tolist() == [[255]]
    colour = picture(0, (16, 16, 3))
    assert np.array_equal(relight(colour, Light(1, 0, 0, 0)), colour)


def test_the_same_seed_plans_the_same_with_and_without_light() -> None:
    dark, lit = generation_plan(), generation_plan()
    lit = replace(lit, config=GenerationConfig.model_validate({"light": LIGHT}))
    assert isinstance(lit, GenerationPlan)
    for index in range(6):
        assert np.array_equal(dark.planned(index).mask.mask, lit.planned(index).mask.mask)
