"""Twice the sides: `upsample: resize`, bilinear and then a 3x3 convolution, which leaves no grid in the image."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle


def resize_conv(in_channels: int, out_channels: int, *, bias: bool) -> nn.Module:
    """[N, in_channels, H, W] to [N, out_channels, 2 H, 2 W], for many output channels."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
    )


class FoldedResizeConv(nn.Conv2d):
    """The same sums taken at the small size: bilinear weights and kernel become one kernel for each of the 2x2 phases.

    For few output channels, with which a convolution at full size leaves most lanes of a vector unit empty, and whose
    input is large: it is never resized. Beyond the border the image goes on as at its edge, where a convolution of the
    resized image would see zeros.
    """

    phases: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.register_buffer("phases", _phases(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        folded = torch.einsum("pyh,qxw,oihw->opqiyx", self.phases, self.phases, self.weight).flatten(0, 2)
        assert self.bias is not None
        return pixel_shuffle(conv2d(_widened(input), folded, self.bias.repeat_interleave(4)), 2)


def _widened(image: Tensor) -> Tensor:
    """One row and column more on each side, as at the edge; torch's replication pad fails in some compiled layouts."""
    image = torch.cat([image[:, :, :1], image, image[:, :, -1:]], 2)
    return torch.cat([image[..., :1], image, image[..., -1:]], 3)


def _phases() -> Tensor:
    """[2, 3, 3]: how much of small pixel i - 1 + y the kernel's tap h sees at large pixel 2 i + p, at [p, y, h]."""
    weights = torch.zeros(2, 3, 3)
    for phase in (0, 1):
        for tap in (0, 1, 2):
            nearest, odd = divmod(phase + tap - 1, 2)
            weights[phase, nearest + 1, tap] += 0.75
            weights[phase, nearest + (2 if odd else 0), tap] += 0.25
    return weights
