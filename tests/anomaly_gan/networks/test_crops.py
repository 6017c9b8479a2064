"""Boxes around masks, and the crops cut from them."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.config import CropConfig
from anomaly_gan.networks.crops import CROP_PX, crop, mask_boxes, number_parts

TIGHT = CropConfig(margin=0, min_side_px=1)
Box = tuple[int, int, int, int]
A, B, C, D = (10, 5, 40, 25), (60, 30, 80, 40), (2, 50, 6, 53), (90, 60, 92, 62)
"""Boxes (x0, y0, x1, y1) of four parts, from the largest down."""


def mask_of(*parts: Box, height: int = 64, width: int = 96) -> Tensor:
    """A mask [1, 1, H, W] with boxes (x0, y0, x1, y1), right and bottom edges exclusive."""
    mask = torch.zeros(1, 1, height, width)
    for x0, y0, x1, y1 in parts:
        mask[..., y0:y1, x0:x1] = 1
    return mask


def numbered(parts: dict[int, Box]) -> Tensor:
    """Parts [1, 1, 64, 96] uint8 by their numbers."""
    mask = torch.zeros(1, 1, 64, 96, dtype=torch.uint8)
    for number, (x0, y0, x1, y1) in parts.items():
        mask[..., y0:y1, x0:x1] = number
    return mask


def plane(*parts: Box) -> NDArray[np.uint8]:
    """A mask [64, 96] as it comes from a picture."""
    return mask_of(*parts)[0, 0].to(torch.uint8).numpy()


def box_of(mask: Tensor, config: CropConfig = TIGHT) -> list[float]:
    boxes, _ = mask_boxes(mask, config)
    [box] = boxes.tolist()
    return list(box)


@pytest.mark.parametrize(
    "part",
    [(5, 9, 6, 10), (0, 0, 1, 1), (95, 63, 96, 64), (10, 20, 41, 25), (0, 30, 96, 31), (0, 0, 96, 64)],
    ids=["one pixel", "first pixel", "last pixel", "inside", "border to border", "full"],
)
def test_a_tight_box_ends_one_past_the_last_pixel_of_the_mask(part: Box) -> None:
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
def test_margin_and_least_side_stay_inside_the_view(part: Box, wanted: list[float]) -> None:
    assert box_of(mask_of(part), CropConfig(margin=2, min_side_px=16)) == wanted


def test_a_least_side_larger_than_the_view_is_the_view() -> None:
    assert box_of(mask_of((5, 5, 9, 9)), CropConfig(margin=0, min_side_px=512)) == [0, 0, 96, 64]


@pytest.mark.parametrize("box", [[0, 0, 96, 64], [5, 9, 6, 10], [0, 0, 1, 1], [95, 63, 96, 64], [10, 3, 80, 60]])
def test_a_crop_of_a_constant_is_that_constant(box: list[float]) -> None:
    image = torch.tensor([0.25, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 64, 96).contiguous()
    cut = crop(image, torch.tensor([box], dtype=torch.float32))
    assert cut.shape == (1, 3, CROP_PX, CROP_PX)
    assert torch.allclose(cut, image[..., :1, :1].expand_as(cut), atol=1e-6)


@pytest.mark.parametrize("column", [0, 40, 95])
def test_a_crop_of_one_pixel_is_that_pixel_drawn_large(column: int) -> None:
    """Bilinear: the pixel itself in the middle, half mixed with its neighbours at the edges."""
    image = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    cut = crop(image, torch.tensor([[column, 9.0, column + 1, 10]]))
    places = (np.arange(CROP_PX) + 0.5) / CROP_PX - 0.5
    rows, columns = 9 + places, np.clip(column + places, 0, 95)
    drawn = np.stack([bilinear(channel, rows, columns) for channel in image[0].numpy()])
    assert np.allclose(cut[0].numpy(), drawn, atol=1e-9)


def bilinear(plane: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Any:
    """The plane's values at fractional places, a row of them for each row."""
    by_column = np.stack([np.interp(columns, np.arange(plane.shape[1]), line) for line in plane])
    return np.stack([np.interp(rows, np.arange(plane.shape[0]), line) for line in by_column.T], 1)


@pytest.mark.parametrize(
    "boxes",
    [[[1.0, 2, 6, 5]], [[0.0, 0, 8, 8]], [[7.0, 7, 8, 8]], [[1.25, 0.5, 3.75, 7.5]], [[0.0, 0, 3, 3], [2.0, 4, 8, 7]]],
    ids=["inside", "all", "last pixel", "between pixels", "two parts"],
)
def test_gradients_of_a_crop_equal_finite_differences(boxes: list[list[float]]) -> None:
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(len(boxes), 1, CROP_PX, CROP_PX, dtype=torch.float64)

    def total(pixels: Tensor) -> Tensor:
        return (crop(pixels, torch.tensor(boxes)) * weight).mean((1, 2, 3))

    assert torch.autograd.gradcheck(total, image)


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


# --- parts


def test_parts_are_numbered_from_the_largest_down() -> None:
    numbers = number_parts(plane(C, D, A, B), 4)
    assert numbers.shape == (64, 96) and numbers.dtype == np.uint8
    assert np.array_equal(numbers, numbered({1: A, 2: B, 3: C, 4: D})[0, 0].numpy())


def test_parts_of_equal_area_are_numbered_from_the_top() -> None:
    first, second, third = (50, 2, 54, 6), (44, 20, 48, 24), (80, 40, 84, 44)
    numbers = number_parts(plane(third, first, second, A), 4)
    assert np.array_equal(numbers, numbered({1: A, 2: first, 3: second, 4: third})[0, 0].numpy())


def test_the_parts_beyond_those_told_apart_share_the_next_number() -> None:
    numbers = number_parts(plane(A, B, C, D), 2)
    assert np.array_equal(numbers, numbered({1: A, 2: B})[0, 0].numpy() + 3 * plane(C, D))


def test_a_part_holds_together_over_corners_and_not_over_gaps() -> None:
    assert set(number_parts(plane((5, 5, 6, 6), (6, 6, 7, 7)), 3).flat) == {0, 1}
    assert set(number_parts(plane((5, 5, 6, 6), (7, 5, 8, 6)), 3).flat) == {0, 1, 2}


def test_more_parts_than_a_byte_can_number_are_told_apart_all_the_same() -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[::2, ::2] = 1
    assert mask.sum() > 256
    numbers = number_parts(mask, 16)
    assert np.array_equal(numbers > 0, mask > 0)
    assert np.bincount(numbers.flat)[1:].tolist() == [1] * 16 + [mask.sum() - 16]


def test_with_one_box_an_image_its_mask_is_not_numbered_at_all() -> None:
    mask = plane(A, B)
    assert number_parts(mask, 1) is mask
    assert not number_parts(plane(), 3).any()


@pytest.mark.parametrize(
    ("parts", "boxes"),
    [
        ({1: A}, [A, A, A]),
        ({1: A, 2: B}, [A, B, A]),
        ({1: A, 2: B, 3: C}, [A, B, C]),
        ({1: A, 2: B, 3: C, 4: D}, [A, B, C]),
        ({2: B}, [B, B, B]),
        ({2: B, 3: C}, [B, B, C]),
        ({1: A, 3: C}, [A, A, C]),
        ({3: C, 4: D}, [C, C, C]),
    ],
    ids=["one", "two", "three", "four", "second only", "without first", "without second", "third only"],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_part_has_its_box_and_a_missing_one_that_of_the_first_there(
    parts: dict[int, Box], boxes: list[Box], dtype: torch.dtype
) -> None:
    found, has_mask = mask_boxes(numbered(parts).to(dtype), TIGHT.model_copy(update={"parts": 3}))
    assert found.tolist() == [list(box) for box in boxes]
    assert has_mask.tolist() == [1]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_an_empty_mask_among_others_has_as_many_whole_views_as_they_have_boxes(parts: int) -> None:
    masks = torch.cat([numbered({1: A}), numbered({}), numbered({1: B})])
    boxes, has_mask = mask_boxes(masks, TIGHT.model_copy(update={"parts": parts}))
    assert boxes.tolist() == [list(A)] * parts + [[0, 0, 96, 64]] * parts + [list(B)] * parts
    assert has_mask.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "part",
    [(5, 9, 6, 10), (0, 0, 1, 1), (95, 63, 96, 64), (0, 30, 96, 31), (0, 0, 96, 64)],
    ids=["one pixel", "first pixel", "last pixel", "border to border", "full"],
)
def test_a_part_has_a_tight_box_wherever_it_is(part: Box) -> None:
    config = TIGHT.model_copy(update={"parts": 2})
    assert mask_boxes(numbered({1: part}), config)[0].tolist() == [list(part)] * 2
    both = {1: part, 2: (50, 40, 53, 42)} if part != (0, 0, 96, 64) else {1: part}
    assert mask_boxes(numbered(both), config)[0].tolist()[0] == list(part)


def test_margin_and_least_side_hold_for_each_part() -> None:
    boxes, _ = mask_boxes(numbered({1: (40, 20, 60, 28), 2: (0, 60, 2, 62)}), CropConfig(margin=0.25, parts=2))
    assert boxes.tolist() == [[35, 16, 65, 32], [0, 48, 16, 64]]


def test_the_crops_of_one_image_lie_side_by_side() -> None:
    images = torch.rand(2, 3, 64, 96)
    masks = torch.cat([numbered({1: A, 2: B}), numbered({1: C})])
    boxes, _ = mask_boxes(masks, TIGHT.model_copy(update={"parts": 2}))
    cut = crop(images, boxes)
    assert cut.shape == (4, 3, CROP_PX, CROP_PX)
    for row, (image, box) in enumerate([(0, A), (0, B), (1, C), (1, C)]):
        alone = crop(images[image : image + 1], torch.tensor([box], dtype=torch.float32))
        assert torch.equal(cut[row], alone[0])


def test_gradients_reach_the_pixels_of_every_part_and_no_other() -> None:
    image = torch.rand(1, 3, 64, 96, requires_grad=True)
    boxes, _ = mask_boxes(numbered({1: A, 2: B, 3: C}), TIGHT.model_copy(update={"parts": 2}))
    crop(image, boxes).sum().backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    touched = image.grad.abs().sum((0, 1)) > 0
    near = mask_of((9, 4, 41, 26), (59, 29, 81, 41))[0, 0] > 0
    assert touched[5:25, 10:40].all() and touched[30:40, 60:80].all()
    assert not touched[~near].any()
