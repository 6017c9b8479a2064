"""The look at a generator while it trains."""

from statistics import fmean

import numpy as np
import pytest
from torch import Tensor

from anomaly_gan.config import CropConfig, MaskConfig
from anomaly_gan.evaluation.preview import Previewer, to_row
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.networks.generator import UNet
from tests.support.builders import NarrowAware, batch_source, generation_plan, tiny_generator, train_config, train_state

pytestmark = pytest.mark.usefixtures("one_thread")


def previewer(count: int = 5, batch_size: int = 2) -> Previewer:
    return Previewer(generation_plan(batch_size=batch_size), batch_source(), NarrowAware(), CropConfig(), count)


def test_every_call_draws_the_same_images_so_that_only_the_generator_makes_the_difference() -> None:
    drawer = previewer()
    first, again, other = (drawer.draw(tiny_generator(seed)) for seed in (0, 0, 1))
    assert first.measures == again.measures
    for one, same, changed in zip(first.images, again.images, other.images, strict=True):
        assert np.array_equal(one.sample.image, same.sample.image)
        assert np.array_equal(one.normal, changed.normal) and np.array_equal(one.mask, changed.mask)
        assert not np.array_equal(one.raw, changed.raw)


def test_measures_are_the_means_over_the_images() -> None:
    preview = previewer().draw(tiny_generator())
    assert len(preview.images) == 5
    assert set(preview.measures) == {"mask_hit", "in_mask_change", "background_mae_raw", "crop_kid", "crop_spread"}
    for name in ("mask_hit", "in_mask_change", "background_mae_raw"):
        told = [made.sample.meta["measures"][name] for made in preview.images]
        assert preview.measures[name] == pytest.approx(fmean(told))


def test_the_number_of_images_a_pass_changes_nothing_but_rounding() -> None:
    alone, together = (previewer(batch_size=size).draw(tiny_generator()) for size in (1, 5))
    for one, other in zip(alone.images, together.images, strict=True):
        assert np.abs(one.raw.astype(int) - other.raw).max() <= 1


class Painter(UNet):
    """Paints the mask with one level, as the holes of the real pictures are dark."""

    level = 0.0

    def forward(
        self, image: Tensor, mask: Tensor, noise: Tensor | None = None, texture: Tensor | None = None
    ) -> Tensor:
        return image * (1 - mask) + self.level * mask


def test_crop_kid_is_lower_for_crops_that_look_like_the_real_ones() -> None:
    plan = generation_plan(masks=MaskConfig(pose="fixed", max_parts=1))
    drawer = Previewer(plan, batch_source(), NarrowAware(), CropConfig(), 12)
    painter, distances = Painter(train_config().model), {}
    for level in (-0.87, 0.0, 1.0):
        painter.level = level
        distances[level] = drawer.draw(painter).measures["crop_kid"]
    assert distances[-0.87] < 0.5 * distances[0.0]
    assert distances[-0.87] < 0.5 * distances[1.0]


def test_crop_spread_is_lower_where_all_anomalies_are_alike() -> None:
    plan = generation_plan(masks=MaskConfig(pose="fixed", max_parts=1))
    drawer = Previewer(plan, batch_source(), NarrowAware(), CropConfig(), 12)
    collapsed, varied = Painter(train_config().model), Varied(train_config().model)
    one, other = (drawer.draw(painter).measures["crop_spread"] for painter in (collapsed, varied))
    assert one < 0.7 * other


class Varied(UNet):
    """Paints each mask with a level of its own, which the picture decides."""

    def forward(
        self, image: Tensor, mask: Tensor, noise: Tensor | None = None, texture: Tensor | None = None
    ) -> Tensor:
        return image * (1 - mask) + mask * (image.mean((1, 2, 3), keepdim=True) * 1000).sin()


def test_the_grid_has_a_row_for_each_of_the_first_images() -> None:
    preview = previewer().draw(tiny_generator())
    two, three = preview.grid(2), preview.grid(3)
    assert two.ndim == 3 and two.dtype == np.uint8
    assert three.shape[0] > two.shape[0] and three.shape[1] == two.shape[1]
    row = to_row(preview.images[0])
    assert row.pasted is preview.images[0].sample.image and row.raw is preview.images[0].raw


def test_a_look_changes_neither_the_generator_nor_its_mode() -> None:
    state: AnomalyGan = train_state(train_config())
    before = {name: tensor.clone() for name, tensor in state.g_ema.state_dict().items()}
    previewer().draw(state.g_ema)
    assert not state.g_ema.training
    assert all(tensor.equal(before[name]) for name, tensor in state.g_ema.state_dict().items())
