"""Synthetic samples: a pure function of plan and index, pasted back, with their provenance."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from anomaly_gan.config import Bin, MaskConfig, ModelConfig
from anomaly_gan.exemplars.assembling import lay_texture
from anomaly_gan.exemplars.exemplar import cut_exemplars
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.generation.paste import paste
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.severity import MAX_GAIN, Severity, contrast
from anomaly_gan.networks.generator import Generator, UNet
from anomaly_gan.networks.noise import draw_noise
from anomaly_gan.samples.sample import decode_sample, encode_sample
from infra.errors import DataError
from tests.support.builders import CLASS, abnormal_sample, generation_plan, picture, tiny_generator

pytestmark = pytest.mark.usefixtures("one_thread")


def by_index(made: Sequence[Generated]) -> dict[int, Generated]:
    return {one.sample.meta["index"]: one for one in made}


def provenance(made: Generated) -> dict[str, object]:
    return {key: value for key, value in made.sample.meta.items() if key != "measures"}


def test_an_image_depends_on_plan_and_index_whatever_is_made_with_it_and_in_which_order() -> None:
    generator = tiny_generator()
    together = by_index(generate(generation_plan(), [7, 0, 3, 12], generator))
    for indices in ([12], [3, 7], [0, 5]):
        for index, made in by_index(generate(generation_plan(), indices, generator)).items():
            if index not in together:
                continue
            other = together[index]
            assert provenance(made) == provenance(other)
            assert np.array_equal(made.mask, other.mask) and np.array_equal(made.normal, other.normal)
            assert np.abs(made.raw.astype(int) - other.raw).max() <= 1
            assert made.sample.key == other.sample.key


def test_images_come_in_the_order_of_their_indices() -> None:
    made = generate(generation_plan(), [9, 2, 123], tiny_generator())
    assert [one.sample.key for one in made] == ["gen-00000009", "gen-00000002", "gen-00000123"]


def test_indices_and_seeds_decide_normal_image_window_and_mask() -> None:
    generator = tiny_generator()
    anywhere = MaskConfig(pose="free")
    made = generate(generation_plan(masks=anywhere), range(12), generator)
    other = generate(generation_plan(masks=anywhere, seed=1), range(12), generator)
    assert len({one.mask.tobytes() for one in [*made, *other]}) == 24
    assert len({one.normal.tobytes() for one in [*made, *other]}) > 20
    assert {one.sample.meta["normal"] for one in made} == {f"normal-{i:03d}" for i in range(4)}


@pytest.mark.parametrize("feather_px", [0, 4])
def test_inside_the_mask_is_the_generators_pixel_and_beyond_the_feather_the_normal_one(feather_px: int) -> None:
    for made in generate(generation_plan(feather_px=feather_px), range(6), tiny_generator(blend=False)):
        inside = made.mask == 1
        distance = cv2.distanceTransform(1 - made.mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        beyond = distance > feather_px
        assert np.array_equal(made.sample.image[inside], made.raw[inside])
        assert np.array_equal(made.sample.image[beyond], made.normal[beyond])
        assert (made.raw != made.normal)[beyond].mean() > 0.5
        assert made.sample.meta["measures"]["background_mae_pasted"] == 0


def test_the_feather_falls_linearly_from_the_mask_to_the_untouched_image() -> None:
    normal, raw, mask = (np.full((1, 9), level, np.uint8) for level in (0, 200, 0))
    mask[0, 0] = 1
    assert paste(normal, raw, mask, 3).tolist() == [[200, 150, 100, 50, 0, 0, 0, 0, 0]]
    assert paste(normal, raw, mask, 0).tolist() == [[200, 0, 0, 0, 0, 0, 0, 0, 0]]


def test_pasting_blends_every_channel_and_rounds() -> None:
    normal, mask = picture(0, (16, 16, 3)), np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 1
    change = paste(normal, normal + np.uint8(4), mask, 2) - normal
    assert change[5, 5].tolist() == [4, 4, 4]
    assert change[3, 5].tolist() == [3, 3, 3]  # two thirds of 4, rounded
    full, none = np.ones_like(mask), np.zeros_like(mask)
    assert np.array_equal(paste(normal, 255 - normal, full, 4), 255 - normal)
    assert np.array_equal(paste(normal, 255 - normal, none, 4), normal)


def test_a_gain_multiplies_the_change_and_stops_at_the_ends_of_the_range() -> None:
    normal, mask = np.array([[100, 100, 250, 5, 100]], np.uint8), np.array([[1, 1, 1, 1, 0]], np.uint8)
    raw = np.array([[110, 80, 255, 1, 0]], np.uint8)
    assert paste(normal, raw, mask, 0, 1.5).tolist() == [[115, 70, 255, 0, 100]]
    assert paste(normal, raw, mask, 0, 0.5).tolist() == [[105, 90, 252, 3, 100]]
    assert np.array_equal(paste(normal, raw, mask, 0, 0), normal)
    feathered = paste(
        np.full((1, 6), 100, np.uint8), np.full((1, 6), 130, np.uint8), np.eye(1, 6, dtype=np.uint8), 2, 2
    )
    assert feathered.tolist() == [[160, 140, 120, 100, 100, 100]]


SEVERITY = Severity(area_px=(40, 100, 150, 300), contrast=(2, 8, 16, 30))


def severe_plan(contrast: Bin = "any", area: Bin = "any") -> GenerationPlan:
    plan = generation_plan(masks=MaskConfig(contrast=contrast, area=area))
    return replace(plan, pool=replace(plan.pool, severity=SEVERITY))


def test_severity_is_measured_on_the_image_and_recorded_with_it() -> None:
    for made in generate(severe_plan(area="medium"), range(6), tiny_generator(blend=False)):
        severity = made.sample.meta["severity"]
        levels = contrast(made.sample.image, made.mask)
        assert severity == {
            "contrast_levels": levels,
            "gain": 1,
            "area": "medium",
            "contrast": SEVERITY.third("contrast", levels),
        }
        assert 100 <= made.mask.sum() <= 150


class Darkening(UNet):
    """A generator of holes 19 grey levels deep."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        return image - 0.15 * mask


class Fading(UNet):
    """A generator of holes that makes all else paler too."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor, *_: object) -> torch.Tensor:
        return image * 0.8 - 0.1 * mask + 0.05


def built(kind: type[UNet]) -> UNet:
    return kind(ModelConfig(generator_widths=(4, 4)))


def darkening() -> UNet:
    return built(Darkening)


@pytest.mark.parametrize("build", [darkening, lambda: built(Fading)], ids=["keeps the surroundings", "changes them"])
@pytest.mark.parametrize(("which", "least", "most"), [("low", 2, 8), ("medium", 8, 16), ("high", 16, 30)])
def test_an_anomaly_has_the_contrast_that_is_asked_for_as_far_as_gains_go(
    which: Bin, least: float, most: float, build: Callable[[], Generator]
) -> None:
    reached = 0
    for made in generate(severe_plan(contrast=which), range(16), build()):
        severity = made.sample.meta["severity"]
        assert 0 <= severity["gain"] <= MAX_GAIN
        if 0 < severity["gain"] < MAX_GAIN:
            assert least - 0.5 <= severity["contrast_levels"] <= most + 0.5
            reached += 1
    assert reached > 4


def test_high_contrast_is_higher_than_low_on_the_same_masks_and_beyond_the_feather_nothing_changes() -> None:
    low, high = (generate(severe_plan(contrast=which), range(12), darkening()) for which in ("low", "high"))
    for weak, strong in zip(low, high, strict=True):
        assert np.array_equal(weak.mask, strong.mask) and np.array_equal(weak.raw, strong.raw)
        assert contrast(weak.sample.image, weak.mask) < contrast(strong.sample.image, strong.mask)
        beyond = cv2.distanceTransform(1 - weak.mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > 4
        for made in (weak, strong):
            assert np.array_equal(made.sample.image[beyond], made.normal[beyond])


def test_a_contrast_needs_a_pool_that_knows_the_real_ones() -> None:
    plan = severe_plan(contrast="low")
    with pytest.raises(DataError, match=r"^mask pool: knows no real contrasts of class hole; leave contrast at any"):
        replace(plan, pool=replace(plan.pool, severity=None)).planned(0)


def test_without_known_severity_contrast_alone_is_recorded() -> None:
    plan = generation_plan()
    [made] = generate(replace(plan, pool=replace(plan.pool, severity=None)), [0], tiny_generator())
    assert set(made.sample.meta["severity"]) == {"contrast_levels", "gain"}


@pytest.mark.parametrize("shape", [(80, 96), (80, 96, 3)], ids=["grey", "colour"])
def test_grey_stays_grey_and_colour_stays_colour(shape: tuple[int, ...]) -> None:
    made = generate(generation_plan(shape), [0, 1], tiny_generator(gray=len(shape) == 2))
    wanted = (64, 64, *shape[2:])
    for one in made:
        assert one.sample.image.shape == one.raw.shape == one.normal.shape == wanted
        assert one.sample.image.dtype == np.uint8
        assert one.mask.shape == (64, 64)
        if len(shape) == 3:
            assert (one.raw[..., 0] != one.raw[..., 1]).any()


def test_provenance_and_measures_tell_how_a_sample_was_made() -> None:
    plan = generation_plan(seed=5)
    [made] = generate(plan, [3], tiny_generator())
    meta = made.sample.meta
    assert (meta["index"], meta["seed"], meta["class"]) == (3, 5, CLASS)
    [normal] = [sample for sample in plan.normals if sample.key == meta["normal"]]
    assert meta["group"] == normal.meta["group"]
    left, top, size = meta["window"]
    assert np.array_equal(made.normal, normal.image[top : top + size, left : left + size])
    assert meta["mask_area_px"] == made.mask.sum() > 0
    assert 1 <= len(meta["placements"]) <= plan.masks.max_parts
    assert {one["source"] for one in meta["placements"]} <= {element.source for element in plan.pool.elements}
    assert all(
        set(one) == {"element", "source", "left", "top", "angle_deg", "scale", "cut"} for one in meta["placements"]
    )
    inside = made.mask == 1
    change = np.abs(made.raw.astype(float) - made.normal)[inside].mean()
    assert meta["measures"]["in_mask_change"] == pytest.approx(change)
    assert made.sample.masks == {CLASS: made.mask}


def test_a_sample_and_its_provenance_survive_storage() -> None:
    [made] = generate(generation_plan(), [3], tiny_generator())
    stored = decode_sample(made.sample.key, encode_sample(made.sample))
    assert np.array_equal(stored.image, made.sample.image)
    assert np.array_equal(stored.masks[CLASS], made.mask)
    assert stored.meta == json.loads(json.dumps(made.sample.meta))


def test_whole_frames_are_taken_as_they_are_and_have_no_window() -> None:
    plan = generation_plan((64, 64), kind="whole")
    [made] = generate(plan, [0], tiny_generator())
    assert made.sample.meta["window"] is None
    assert any(np.array_equal(made.normal, sample.image) for sample in plan.normals)


class Recorder(UNet):
    """A generator that makes white images and keeps what it was given."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        noise, texture = given
        assert noise is not None and texture is not None
        self.seen = (image, mask, noise, texture)
        return torch.ones_like(image)


def test_the_generator_gets_noise_and_a_texture_of_the_seed_that_is_told() -> None:
    recorder = built(Recorder)
    assert isinstance(recorder, Recorder)
    recorder.exemplars = cut_exemplars([abnormal_sample(i) for i in range(3)], CLASS, 64)
    [made] = generate(generation_plan(), [2], recorder)
    _, mask, noise, texture = recorder.seen
    seed = made.sample.meta["noise_seed"]
    assert torch.equal(noise[0], draw_noise(seed, 4, 64))
    laid = lay_texture(made.normal, mask[0, 0].numpy().astype(np.uint8), recorder.exemplars, seed)
    assert np.allclose(texture[0].numpy(), laid.planes)
    assert made.sample.meta["exemplar"] == laid.source in {f"abnormal-{i:03d}" for i in range(3)}


def test_each_image_layer_and_attempt_has_noise_of_its_own_and_a_model_without_exemplars_names_none() -> None:
    generator = tiny_generator()
    plan = generation_plan()
    made = generate(plan, range(3), generator) + generate(replace(plan, layer=1), range(3), generator)
    made += generate(generation_plan(seed=1), range(3), generator)
    assert len({tuple(one.sample.meta["noise_seed"]) for one in made}) == 9
    assert {one.sample.meta["exemplar"] for one in made} == {None}


def test_the_generator_gets_the_normal_image_in_its_range_and_the_mask_and_its_output_is_rounded() -> None:
    recorder = built(Recorder)
    assert isinstance(recorder, Recorder)
    [made] = generate(generation_plan(), [2], recorder)
    image, mask, _, texture = recorder.seen
    assert not texture.any()
    assert np.allclose(image[0, 0].numpy(), made.normal / 127.5 - 1, atol=1e-6)
    assert image.dtype == mask.dtype == torch.float32
    assert np.array_equal(mask[0, 0].numpy(), made.mask)
    assert (made.raw == 255).all()
    assert (made.sample.image[made.mask == 1] == 255).all()


def test_the_plan_is_left_as_it_was() -> None:
    plan = generation_plan()
    before = [sample.image.copy() for sample in plan.normals]
    generate(plan, range(4), tiny_generator())
    assert all(np.array_equal(sample.image, image) for sample, image in zip(plan.normals, before, strict=True))
