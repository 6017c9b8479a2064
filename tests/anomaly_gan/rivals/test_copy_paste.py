"""Copy-paste: real pixels, moved, turned and scaled into normal pictures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.rivals.copy_paste import CopyPaste
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

NAME = "hole"
SIZE = 64


def flat(key: str, level: int) -> Sample:
    return Sample(key, np.full((SIZE, SIZE), level, np.uint8), meta={"group": key})


def textured(key: str, level: int = 100) -> Sample:
    """Flat, with an anomaly of 9 x 12 px of random levels at row 20, column 30."""
    image, mask = np.full((SIZE, SIZE), level, np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    mask[20:29, 30:42] = 1
    image[mask > 0] = np.random.default_rng(0).integers(20, 80, mask.sum(), dtype=np.uint8)
    return Sample(key, image, {NAME: mask})


def painter(level: int = 100, feather_px: int = 0, **masks: object) -> CopyPaste:
    abnormals = [textured("a")]
    rules = MaskConfig.model_validate({"max_parts": 1, **masks})
    plan = GenerationPlan(
        [flat("n", level)],
        build_pool(abnormals, NAME),
        ViewConfig(size=SIZE),
        rules,
        GenerationConfig(feather_px=feather_px),
    )
    return CopyPaste(plan, abnormals)


@pytest.mark.parametrize("index", range(5))
def test_an_anomaly_that_is_only_moved_keeps_every_pixel(index: int) -> None:
    made = painter(pose="fixed").make(index)
    source = textured("a")
    inside = made.masks[NAME] > 0
    assert np.array_equal(made.image[inside], source.image[source.masks[NAME] > 0])
    assert (made.image[~inside] == 100).all()


def test_the_contrast_to_the_surroundings_stays_on_a_brighter_picture() -> None:
    made = painter(level=150, pose="fixed").make(0)
    source = textured("a")
    inside = made.masks[NAME] > 0
    assert np.array_equal(made.image[inside], source.image[source.masks[NAME] > 0] + np.uint8(50))


@pytest.mark.parametrize("index", range(10))
def test_a_turned_and_scaled_anomaly_fills_its_mask_and_nothing_else(index: int) -> None:
    made = painter().make(index)
    inside = made.masks[NAME] > 0
    deep = cv2.erode(made.masks[NAME], np.ones((3, 3), np.uint8)) > 0
    assert (made.image[deep] < 90).all()
    assert (made.image[~inside] == 100).all()


def test_beyond_the_feather_the_picture_is_the_normal_one() -> None:
    made = painter(feather_px=3).make(0)
    near = cv2.dilate(made.masks[NAME], cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))) > 0
    assert (made.image[~near] == 100).all()


def test_an_image_is_a_function_of_its_index_alone() -> None:
    first, second = painter(), painter()
    second.make(0)
    assert np.array_equal(first.make(3).image, second.make(3).image)
    assert not np.array_equal(first.make(3).image, first.make(4).image)


def test_a_colour_picture_is_pasted_in_colour() -> None:
    grey = painter(pose="fixed")
    colour, normals = (
        [replace(one, image=np.stack([one.image, one.image // 2, one.image // 4], -1)) for one in samples]
        for samples in (grey.abnormals, grey.plan.normals)
    )
    made = CopyPaste(replace(grey.plan, normals=normals), colour).make(0)
    inside = made.masks[NAME] > 0
    assert np.array_equal(made.image[inside], colour[0].image[colour[0].masks[NAME] > 0])


def test_a_pool_of_other_pictures_is_refused() -> None:
    whole = painter()
    with pytest.raises(DataError, match=r"1 elements of the pool have no picture \(a\)"):
        CopyPaste(whole.plan, [textured("b")])
