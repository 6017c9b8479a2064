"""Mask -> box -> 64 x 64 crop, batched, on the device and differentiable (paper, Sec. 4.2.1)."""

import torch
from torch import Tensor
from torchvision.ops import roi_align

from anomaly_gan.config import CropConfig

CROP_PX = 64


def mask_boxes(mask: Tensor, config: CropConfig) -> tuple[Tensor, Tensor]:
    """The box over all parts of each mask, with margin and least side, kept inside the view.

    Args:
        mask: [N, 1, H, W] in {0, 1}.
        config: margin and least side.

    Returns:
        boxes [N, 4] float (x0, y0, x1, y1), right and bottom edges exclusive, so that one pixel is a
        box of side 1; and has_mask [N] in {0, 1}. An empty mask gets the whole view and has_mask 0.
    """
    _, _, height, width = mask.shape
    present = mask[:, 0] > 0
    x0, x1 = _extent(present.any(1))
    y0, y1 = _extent(present.any(2))
    has_mask = present.flatten(1).any(1)
    boxes = torch.stack([*_widen(x0, x1, width, config), *_widen(y0, y1, height, config)], 1)[:, [0, 2, 1, 3]]
    whole = boxes.new_tensor([0, 0, width, height])
    return torch.where(has_mask[:, None], boxes, whole), has_mask.to(mask.dtype)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and one-past-last True along dim 1 of [N, L], as float [N]."""
    length = occupied.shape[1]
    flags = occupied.to(torch.uint8)
    return flags.argmax(1).float(), (length - flags.flip(1).argmax(1)).float()


def _widen(low: Tensor, high: Tensor, limit: int, config: CropConfig) -> tuple[Tensor, Tensor]:
    side = ((high - low) * (1 + 2 * config.margin)).clamp(min=min(config.min_side_px, limit), max=limit)
    start = ((low + high - side) / 2).clamp(min=0)
    start = torch.minimum(start, limit - side)
    return start, start + side


def crop(image: Tensor, boxes: Tensor) -> Tensor:
    """Cut each image to its box and resize it.

    Args:
        image: [N, C, H, W].
        boxes: [N, 4] as `mask_boxes` returns them.

    Returns:
        [N, C, 64, 64]; gradients flow back to `image`.
    """
    rows = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
    cut: Tensor = roi_align(image, torch.cat([rows, boxes], 1).to(image.dtype), CROP_PX, aligned=True)
    return cut
