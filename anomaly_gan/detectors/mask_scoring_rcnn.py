"""Mask Scoring R-CNN (Huang et al. 2019): Mask R-CNN that also predicts how good each of its masks is.

A classifier is sure of a class, not of a mask. The MaskIoU head regresses the IoU of a predicted mask with its true
one, and a detection's score is the product of both.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, maskrcnn_loss

from anomaly_gan.detectors import mask_rcnn
from anomaly_gan.detectors.backbones import CHANNELS
from anomaly_gan.detectors.box_masks import masks_in_boxes
from anomaly_gan.detectors.config import DetectorConfig

MASK_SIDE = 28
"""Side of a predicted mask, in cells of its box; the features of a box have half as many."""
IOU_FEATURES = 256
PRESENT = 0.5
"""A cell of at least this probability belongs to the mask whose IoU is predicted."""


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `box_parts` of the R-CNN family."""
    model = mask_rcnn.build(num_classes, config, weights_folder)
    model.roi_heads = MaskScoringHeads(model.get_submodule("roi_heads"), MaskIoUHead(num_classes))
    return model


class MaskIoUHead(nn.Module):
    """Features of a box and the mask predicted in it -> the IoU that each class would have."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        half = MASK_SIDE // 2
        self.convolutions = nn.Sequential(
            *_convolution(CHANNELS + 1, stride=1),
            *_convolution(CHANNELS, stride=1),
            *_convolution(CHANNELS, stride=1),
            *_convolution(CHANNELS, stride=2),
        )
        self.regression = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CHANNELS * (half // 2) ** 2, IOU_FEATURES),
            nn.ReLU(inplace=True),
            nn.Linear(IOU_FEATURES, IOU_FEATURES),
            nn.ReLU(inplace=True),
            nn.Linear(IOU_FEATURES, num_classes),
        )

    def forward(self, features: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        """
        Args:
            features: [n, CHANNELS, 14, 14] of n boxes.
            masks: [n, 1, 28, 28] 0..1, predicted in them; not learnt from here, or masks would be drawn so that
                their IoU is easily told.
            labels: [n] 1..K.

        Returns:
            [n] IoU of each box's own class, about 0..1.
        """
        pooled = functional.max_pool2d(masks.detach(), 2)
        each: Tensor = self.regression(self.convolutions(torch.cat([features, pooled], 1)))  # [n, K]
        return each.gather(1, labels[:, None] - 1)[:, 0]


class MaskScoringHeads(nn.Module):
    """Torchvision's heads of a Mask R-CNN with a MaskIoU head behind; takes and gives what they do."""

    def __init__(self, heads: RoIHeads, mask_iou: MaskIoUHead) -> None:
        super().__init__()
        self.heads = heads
        self.mask_iou = mask_iou

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """(detections, no losses), or in training (no detections, losses)."""
        if self.training:
            assert targets is not None
            return [], self._losses(features, proposals, sizes, targets)
        found, _ = self.heads(features, proposals, sizes)
        return self._scored(features, sizes, found), {}

    def _scored(
        self, features: dict[str, Tensor], sizes: list[tuple[int, int]], found: list[dict[str, Tensor]]
    ) -> list[dict[str, Tensor]]:
        """Detections by class score times predicted IoU, best first."""
        pooled = self.heads.mask_roi_pool(features, [each["boxes"] for each in found], sizes)
        masks, labels = (torch.cat([each[name] for each in found]) for name in ("masks", "labels"))
        ious = self.mask_iou(pooled, masks, labels).clamp(0, 1)
        scored = []
        for each, iou in zip(found, ious.split([len(each["labels"]) for each in found]), strict=True):
            scores, order = (each["scores"] * iou).sort(descending=True, stable=True)
            scored.append({name: tensor[order] for name, tensor in each.items()} | {"scores": scores})
        return scored

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: Sequence[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Those of Mask R-CNN on sampled proposals, and "loss_mask_iou" on the positive ones."""
        heads = self.heads
        proposals, matches, labels, regression = heads.select_training_samples(proposals, targets)
        classes, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, proposals, sizes)))
        loss_classifier, loss_box_reg = fastrcnn_loss(classes, deltas, labels, regression)

        positive = [torch.where(each > 0)[0] for each in labels]
        boxes, matches, labels = (
            [values[chosen] for values, chosen in zip(each, positive, strict=True)]
            for each in (proposals, matches, labels)
        )
        truth = [target["masks"] for target in targets]
        pooled = heads.mask_roi_pool(features, boxes, sizes)
        logits = heads.mask_predictor(heads.mask_head(pooled))  # [n, K + 1, 28, 28]
        own = torch.cat(labels)
        masks = logits[torch.arange(len(own), device=own.device), own].sigmoid()
        wanted = torch.cat(
            [mask_ious(*each) for each in zip(masks.split(_lengths(boxes)), boxes, truth, matches, strict=True)]
        )
        ious = self.mask_iou(pooled, masks[:, None], own)
        return {
            "loss_classifier": loss_classifier,
            "loss_box_reg": loss_box_reg,
            "loss_mask": maskrcnn_loss(logits, boxes, truth, labels, matches),
            "loss_mask_iou": functional.mse_loss(ious, wanted, reduction="sum") / max(1, len(wanted)),
        }


@torch.no_grad()
def mask_ious(predicted: Tensor, boxes: Tensor, truth: Tensor, matches: Tensor) -> Tensor:
    """IoU of the masks predicted in boxes with the whole true masks, also with what lies outside the box.

    Args:
        predicted: [n, M, M] 0..1, in cells of the box.
        boxes: [n, 4] x1 y1 x2 y2 in px.
        truth: [m, H, W] {0, 1}.
        matches: [n] index of each box's true mask.

    Returns:
        [n] 0..1; areas are counted in cells.
    """
    side = predicted.shape[-1]
    mine = predicted >= PRESENT
    inside = masks_in_boxes(truth, boxes, matches, side) >= PRESENT
    both = (mine & inside).sum((1, 2))
    width, height = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).unbind(1)
    whole = truth[matches].sum((1, 2)) * side**2 / (width * height)
    union = mine.sum((1, 2)) + torch.maximum(whole, inside.sum((1, 2))) - both
    return both / union.clamp(min=1)


def _convolution(before: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(before, CHANNELS, 3, stride=stride, padding=1), nn.ReLU(inplace=True)]


def _lengths(tensors: Sequence[Tensor]) -> list[int]:
    return [len(each) for each in tensors]
