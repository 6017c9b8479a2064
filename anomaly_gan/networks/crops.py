"""Mask -> box -> 64 x 64 crop, batched, on the device and differentiable (paper, Sec. 4.2.1)."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

from anomaly_gan.config import CropConfig

CROP_PX = 64


def mask_boxes(parts: Tensor, config: CropConfig) -> tuple[Tensor, Tensor]:
    """The boxes around each mask, with margin and least side, kept inside the view.

    Args:
        parts: [N, 1, H, W], 0 = outside the mask. With `config.parts` = 1 there is one box over all that is in
            the mask; with n > 1 one around each of the parts numbered 1 to n, as `number_parts` numbers them.
        config: margin, least side, boxes per mask.

    Returns:
        boxes [N * config.parts, 4] float (x0, y0, x1, y1), those of one image side by side, right and bottom edges
        exclusive, so that one pixel is a box of side 1; and has_mask [N] in {0, 1}. A missing part has the box of the
        first one that is there; an empty mask gets the whole view and has_mask 0.
    """
    _, _, height, width = parts.shape
    numbers = torch.arange(1, config.parts + 1, device=parts.device, dtype=parts.dtype)
    present = parts > 0 if config.parts == 1 else parts == numbers[:, None, None]
    has_part = present.flatten(2).any(2)
    first = has_part.to(torch.uint8).argmax(1, keepdim=True)
    shown = torch.where(has_part, torch.arange(config.parts, device=parts.device), first)
    present = present[torch.arange(len(parts), device=parts.device)[:, None], shown].flatten(0, 1)
    x0, x1 = _extent(present.any(1))
    y0, y1 = _extent(present.any(2))
    boxes = torch.stack([*_widen(x0, x1, width, config), *_widen(y0, y1, height, config)], 1)[:, [0, 2, 1, 3]]
    has_mask = has_part.any(1)
    whole = boxes.new_tensor([0, 0, width, height])
    return torch.where(has_mask.repeat_interleave(config.parts)[:, None], boxes, whole), has_mask.float()


def number_parts(mask: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """Number a mask's 8-connected parts from the largest down.

    Args:
        mask: [H, W] {0, 1}.
        most: parts to tell apart; all smaller ones get the number most + 1.

    Returns:
        [H, W], 0 = outside the mask; the mask itself where `most` is 1.
    """
    if most == 1:
        return mask
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    numbers = np.zeros(len(areas) + 1, np.uint8)
    numbers[1 + np.argsort(-areas, kind="stable")] = np.minimum(np.arange(1, len(areas) + 1), most + 1)
    numbered: NDArray[np.uint8] = numbers[labels]
    return numbered


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
        boxes: [N * K, 4] as `mask_boxes` returns them.

    Returns:
        [N * K, C, 64, 64]; gradients flow back to `image`.
    """
    rows = torch.arange(len(image), device=boxes.device, dtype=boxes.dtype)
    rows = rows.repeat_interleave(len(boxes) // len(image))[:, None]
    cut: Tensor = roi_align(image, torch.cat([rows, boxes], 1).to(image.dtype), CROP_PX, aligned=True)
    return cut
