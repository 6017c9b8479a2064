"""Half the sides: the discriminators' 5x5 convolution with a stride of 2 (paper, Fig. 7)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

STRIDE = 2
PADDING = 2
CHANNELS_PER_PIXEL = 16


class HalvingConv(nn.Conv2d):
    """[N, in_channels, H, W], H and W even, to [N, out_channels, H / 2, W / 2].

    On a CPU it is one matrix product where the image has few pixels for its channels. `nn.Conv2d` brings the kernel
    into a layout of its own in each pass, which there takes longer than the products.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2 * PADDING + 1, STRIDE, PADDING)

    def forward(self, input: Tensor) -> Tensor:
        images, channels, height, width = input.shape
        sides = height // STRIDE, width // STRIDE
        if input.device.type != "cpu" or channels < CHANNELS_PER_PIXEL * sides[0] * sides[1]:
            return super().forward(input)
        patches = unfold(input, self.kernel_size, padding=PADDING, stride=STRIDE).permute(1, 0, 2).flatten(1)
        assert self.bias is not None
        product = torch.addmm(self.bias[:, None], self.weight.flatten(1), patches)
        return product.view(-1, images, *sides).transpose(0, 1)
