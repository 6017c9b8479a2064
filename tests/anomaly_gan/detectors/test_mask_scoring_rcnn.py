"""Mask Scoring R-CNN: the IoU that its masks are to be scored by, and the head that predicts it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.mask_scoring_rcnn import MASK_SIDE, MaskIoUHead, MaskScoringHeads, mask_ious
from anomaly_gan.detectors.targets import to_image
from tests.support.builders_detectors import bright_square, tiny


def drawn(rows: slice, columns: slice, height: int = 40, width: int = 40) -> Tensor:
    mask = torch.zeros(height, width, dtype=torch.uint8)
    mask[rows, columns] = 1
    return mask


@pytest.mark.parametrize(
    ("predicted", "truth", "expected"),
    [
        # The box is columns and rows 0 to 28, so a cell is a pixel.
        (drawn(slice(0, 10), slice(0, 10), 28, 28), drawn(slice(0, 10), slice(0, 10)), 1),
        (drawn(slice(0, 10), slice(0, 20), 28, 28), drawn(slice(0, 10), slice(10, 20)), 100 / 200),
        (drawn(slice(0, 10), slice(0, 10), 28, 28), drawn(slice(14, 24), slice(14, 24)), 0),
        # 8 of the 20 columns of the true mask lie in the box and are found; those outside count against it.
        (drawn(slice(0, 10), slice(20, 28), 28, 28), drawn(slice(0, 10), slice(20, 40)), 80 / 200),
        (drawn(slice(0, 0), slice(0, 0), 28, 28), drawn(slice(0, 10), slice(0, 10)), 0),
    ],
)
def test_the_iou_of_a_predicted_mask_counts_all_of_the_true_one(
    predicted: Tensor, truth: Tensor, expected: float
) -> None:
    box = torch.tensor([[0.0, 0, 28, 28]])
    probabilities = torch.where(predicted > 0, 0.7, 0.3)[None]
    (found,) = mask_ious(probabilities, box, truth[None], torch.tensor([0]))
    assert found.item() == pytest.approx(expected)


def test_cells_of_a_box_may_be_of_any_size_and_each_box_is_held_against_its_own_match() -> None:
    """A box of 56 x 14 px has cells of 2 x 1/2 px: its left half is 28 x 14 px."""
    left = torch.zeros(2, 28, 28)
    left[:, :, :14] = 1
    boxes = torch.tensor([[4.0, 2, 60, 16]]).expand(2, 4)
    truth = torch.stack([drawn(slice(2, 16), slice(4, 60), 64, 64), drawn(slice(2, 16), slice(4, 32), 64, 64)])
    assert mask_ious(left, boxes, truth, torch.tensor([1, 0])).tolist() == pytest.approx([1, 0.5])


def test_the_head_sees_features_and_mask_and_gives_the_iou_of_each_box_own_class() -> None:
    torch.manual_seed(0)
    head = MaskIoUHead(3)
    features, masks = torch.rand(2, 128, 14, 14), torch.rand(2, 1, MASK_SIDE, MASK_SIDE, requires_grad=True)
    each = [head(features, masks, torch.full((2,), label)) for label in (1, 2, 3)]
    mixed = head(features, masks, torch.tensor([3, 1]))
    assert mixed.tolist() == [each[2][0].item(), each[0][1].item()]
    assert not torch.equal(head(features, 1 - masks, torch.tensor([3, 1])), mixed)
    mixed.sum().backward()
    assert masks.grad is None
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())
    assert head(features[:0], masks[:0], torch.zeros(0, dtype=torch.int64)).shape == (0,)


class ByHeight(nn.Module):
    """Predicts an IoU that depends on the number of the box, for boxes that come best first."""

    def forward(self, features: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        return torch.linspace(0.2, 1.4, len(labels))


def test_a_detection_is_scored_by_class_and_predicted_iou_and_the_best_comes_first() -> None:
    model = build_detector(1, tiny("mask_scoring_rcnn")).eval()
    heads = model.get_submodule("roi_heads")
    assert isinstance(heads, MaskScoringHeads)
    heads.mask_iou = ByHeight()  # type: ignore[assignment]
    picture = to_image(bright_square("a"))
    (scored,) = model([picture])
    model.roi_heads = heads.heads
    (plain,) = model([picture])
    assert len(scored["scores"]) > 2
    expected = plain["scores"] * torch.linspace(0.2, 1.4, len(plain["scores"])).clamp(max=1)
    order = expected.argsort(descending=True)
    assert torch.allclose(scored["scores"], expected[order])
    assert all(torch.equal(scored[name], plain[name][order]) for name in ("boxes", "labels", "masks"))


def test_only_positive_proposals_have_a_mask_iou_to_learn() -> None:
    model = build_detector(1, tiny("mask_scoring_rcnn"))
    normal = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, 64, 64, dtype=torch.uint8),
    }
    picture = torch.from_numpy(np.full((3, 64, 64), 0.3, np.float32))
    assert model([picture], [normal])["loss_mask_iou"] == 0
