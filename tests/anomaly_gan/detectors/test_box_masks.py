"""Masks from pictures into boxes and back."""

import torch

from anomaly_gan.detectors.box_masks import masks_in_boxes, masks_in_picture


def test_a_cell_has_the_share_of_it_that_lies_in_the_mask_of_its_box() -> None:
    masks = torch.zeros(2, 20, 30, dtype=torch.uint8)
    masks[0, 4:8, 10:16] = 1
    masks[1, 4:8, 12:20] = 1
    boxes = torch.tensor([[10.0, 4, 18, 12], [10, 4, 18, 12]])
    first, second = masks_in_boxes(masks, boxes, torch.tensor([0, 1]), 4)
    assert first.tolist() == [[1, 1, 1, 0]] * 2 + [[0] * 4] * 2
    assert second.tolist() == [[0, 1, 1, 1]] * 2 + [[0] * 4] * 2
    (coarse,) = masks_in_boxes(masks, boxes[:1], torch.tensor([0]), 2)
    assert coarse.tolist() == [[1, 0.5], [0, 0]]


def test_a_box_without_a_mask_is_no_error() -> None:
    nothing = masks_in_boxes(torch.zeros(0, 9, 9), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), 4)
    assert nothing.shape == (0, 4, 4)
    assert masks_in_picture(nothing, torch.zeros(0, 4), 9, 8).shape == (0, 9, 8)


def test_a_mask_comes_back_to_the_pixels_that_it_came_from() -> None:
    masks = torch.zeros(1, 20, 30, dtype=torch.uint8)
    masks[0, 4:8, 10:16] = 1
    boxes = torch.tensor([[8.0, 2, 22, 16]])
    cells = masks_in_boxes(masks, boxes, torch.tensor([0]), 28)
    assert torch.equal(masks_in_picture(cells, boxes, 20, 30) >= 0.5, masks > 0)


def test_a_full_box_fills_its_pixels_and_no_others_also_beyond_the_rim() -> None:
    boxes = torch.tensor([[3.0, 2, 7, 9], [-4, -4, 2, 3]])
    first, second = masks_in_picture(torch.ones(2, 28, 28), boxes, 12, 10) >= 0.5
    assert first.nonzero().amin(0).tolist() == [2, 3] and first.nonzero().amax(0).tolist() == [8, 6]
    assert first.sum() == 4 * 7
    assert second[:3, :2].all() and second.sum() == 6
