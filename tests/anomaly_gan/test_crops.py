"""Boxes around masks, and the crops cut from them."""

import pytest
import torch
from torch import Tensor

from anomaly_gan.config import CropConfig
from anomaly_gan.crops import CROP_PX, crop, mask_boxes

TIGHT = CropConfig(margin=0, min_side_px=1)


def mask_of(*parts: tuple[int, int, int, int], height: int = 64, width: int = 96) -> Tensor:
    """A mask [1, 1, H, W] with boxes (x0, y0, x1, y1), right and bottom edges exclusive."""
    mask = torch.zeros(1, 1, height, width)
    for x0, y0, x1, y1 in parts:
        mask[..., y0:y1, x0:x1] = 1
    return mask


def box_of(mask: Tensor, config: CropConfig = TIGHT) -> list[float]:
    boxes, _ = mask_boxes(mask, config)
    [box] = boxes.tolist()
    return list(box)


@pytest.mark.parametrize(
    "part",
    [(5, 9, 6, 10), (0, 0, 1, 1), (95, 63, 96, 64), (10, 20, 41, 25), (0, 30, 96, 31), (0, 0, 96, 64)],
    ids=["one pixel", "first pixel", "last pixel", "inside", "border to border", "full"],
)
def test_a_tight_box_ends_one_past_the_last_pixel_of_the_mask(part: tuple[int, int, int, int]) -> None:
    assert box_of(mask_of(part)) == list(part)


def test_two_parts_share_one_box() -> None:
    assert box_of(mask_of((10, 5, 14, 9), (70, 40, 75, 44))) == [10, 5, 75, 44]


def test_an_empty_mask_has_the_whole_view_and_no_weight() -> None:
    masks = torch.cat([mask_of(), mask_of((3, 4, 9, 8))])
    boxes, has_mask = mask_boxes(masks, TIGHT)
    assert boxes[0].tolist() == [0, 0, 96, 64]
    assert has_mask.tolist() == [0, 1]


def test_the_margin_is_a_share_of_the_box_on_each_side() -> None:
    assert box_of(mask_of((40, 20, 60, 28)), CropConfig(margin=0.25, min_side_px=1)) == [35, 18, 65, 30]


def test_a_small_box_grows_around_its_centre_to_the_least_side() -> None:
    assert box_of(mask_of((40, 20, 42, 50)), CropConfig(margin=0, min_side_px=16)) == [33, 20, 49, 50]


@pytest.mark.parametrize(
    ("part", "wanted"),
    [((0, 0, 1, 1), [0, 0, 16, 16]), ((95, 63, 96, 64), [80, 48, 96, 64]), ((0, 0, 96, 64), [0, 0, 96, 64])],
)
def test_margin_and_least_side_stay_inside_the_view(part: tuple[int, int, int, int], wanted: list[float]) -> None:
    assert box_of(mask_of(part), CropConfig(margin=2, min_side_px=16)) == wanted


def test_a_least_side_larger_than_the_view_is_the_view() -> None:
    assert box_of(mask_of((5, 5, 9, 9)), CropConfig(margin=0, min_side_px=512)) == [0, 0, 96, 64]


@pytest.mark.parametrize("box", [[0, 0, 96, 64], [5, 9, 6, 10], [0, 0, 1, 1], [95, 63, 96, 64], [10, 3, 80, 60]])
def test_a_crop_of_a_constant_is_that_constant(box: list[float]) -> None:
    image = torch.tensor([0.25, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 64, 96).contiguous()
    cut = crop(image, torch.tensor([box], dtype=torch.float32))
    assert cut.shape == (1, 3, CROP_PX, CROP_PX)
    assert torch.allclose(cut, image[..., :1, :1].expand_as(cut), atol=1e-6)


def test_a_crop_of_one_pixel_is_that_pixel_all_over() -> None:
    image = torch.rand(1, 3, 64, 96)
    cut = crop(image, torch.tensor([[0.0, 9, 1, 10]]))
    middle = cut[..., CROP_PX // 2, CROP_PX // 2]
    assert torch.allclose(middle, image[..., 9, 0], atol=0.02)


def test_a_crop_of_64_px_is_the_picture_pixel_by_pixel() -> None:
    image = torch.rand(1, 3, 80, 96)
    cut = crop(image, torch.tensor([[10.0, 7, 74, 71]]))
    assert torch.allclose(cut, image[..., 7:71, 10:74], atol=1e-5)


def test_a_crop_keeps_left_and_right_and_top_and_bottom_apart() -> None:
    image = torch.zeros(1, 1, 64, 96)
    image[..., 20:40, 50:70] = torch.linspace(0, 1, 20)[None, :] + 2 * torch.linspace(0, 1, 20)[:, None]
    cut = crop(image, torch.tensor([[50.0, 20, 70, 40]]))[0, 0]
    assert cut[2, 2] < cut[2, 60] < cut[60, 2] < cut[60, 60]


def test_gradients_reach_exactly_the_pixels_of_the_box() -> None:
    image = torch.rand(1, 3, 64, 96, requires_grad=True)
    crop(image, torch.tensor([[10.0, 20, 30, 44]])).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert (image.grad[..., 20:44, 10:30] > 0).all()
    touched = image.grad.abs().sum((0, 1)) > 0
    assert not touched[:19].any() and not touched[45:].any() and not touched[:, :9].any() and not touched[:, 31:].any()


def test_a_batch_is_cut_as_its_images_one_by_one() -> None:
    images = torch.rand(3, 3, 64, 96)
    masks = torch.cat([mask_of((5, 6, 7, 8)), mask_of(), mask_of((30, 1, 80, 60), (2, 2, 3, 3))])
    config = CropConfig()
    boxes, has_mask = mask_boxes(masks, config)
    together = crop(images, boxes)
    for i in range(3):
        box, has = mask_boxes(masks[i : i + 1], config)
        assert torch.equal(box[0], boxes[i]) and torch.equal(has[0], has_mask[i])
        assert torch.equal(crop(images[i : i + 1], box)[0], together[i])
