"""Twice the sides: `upsample: resize`, bilinear and then a 3x3 convolution, which leaves no grid in the image."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

FEW_CHANNELS = 8


class ResizeConv(nn.Sequential):
    """[N, in_channels, H, W] to [N, out_channels, 2 H, 2 W]; beyond the border of the resized image are zeros.

    On a CPU the products are made at the small size: each tap of the kernel is a product of channels there, and the
    nine results are resized, shifted and added by one matrix for the rows and one for the columns. It is the same sum
    in another order, of 1/4 + 5/6 side / in_channels times as many products. It is made as it reads on other devices,
    and where that takes fewer products, unless the output has few channels: then most of its time would be resizing.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        super().__init__(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), convolution)

    def forward(self, input: Tensor) -> Tensor:
        resize, convolution = self[0], cast(nn.Conv2d, self[1])
        is_small = max(input.shape[2:]) <= convolution.in_channels or convolution.out_channels <= FEW_CHANNELS
        if input.device.type != "cpu" or not is_small:
            resized: Tensor = convolution(resize(input))
            return resized
        (images, _, height, width), channels = input.shape, convolution.out_channels
        taps = conv2d(input, convolution.weight.permute(2, 0, 3, 1).reshape(-1, input.shape[1], 1, 1))
        columns = taps.reshape(images, 3, channels * 3, height, width).permute(1, 3, 0, 2, 4).reshape(3 * height, -1)
        high = (_resized_taps(height, taps) @ columns).view(2 * height, images, channels, 3, width)
        rows = high.permute(1, 2, 0, 3, 4).reshape(-1, 3 * width)
        large: Tensor = (rows @ _resized_taps(width, taps).T).view(images, channels, 2 * height, 2 * width)
        return large if convolution.bias is None else large + convolution.bias[:, None, None]


def _resized_taps(side: int, like: Tensor) -> Tensor:
    """[2 side, 3 side], of `like`'s type: from a line of `side` px for each tap to the resized line they add up to."""
    unit = torch.eye(side, dtype=like.dtype, device=like.device)
    resized = interpolate(unit[:, None], scale_factor=2.0, mode="linear", align_corners=False)[:, 0].T
    shifted = pad(resized, (0, 0, 1, 1)).unfold(0, 2 * side, 1)  # [3 taps, side, 2 side]
    return shifted.permute(2, 0, 1).reshape(2 * side, 3 * side)
