"""The ResNet generators: that of the authors' released weights, and the same trunk with the text's skips.

The layout, and so the names of the weights, are those of pytorch-CycleGAN's generator with 9 blocks (Johnson et al.
2016), for 4 input channels.
"""

from torch import Tensor, nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.base import Generator
from anomaly_gan.networks.norms import Norm, norm2d
from anomaly_gan.networks.upsampling import ResizeConv

BLOCKS = 9
FACTOR = 4
"""The two stride-2 convolutions halve the sides twice."""

STEM = slice(0, 4)
DOWN_1 = slice(4, 7)
TRUNK = slice(7, 22)
"""The second down step, the blocks and the first up step."""
UP_2 = slice(22, 25)
HEAD = slice(25, 27)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with its norm, added to what came in."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm2d(norm, channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm2d(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = features + self.conv_block(features)
        return changed


def _up(kind: str, in_channels: int, out_channels: int) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
    return ResizeConv(in_channels, out_channels, bias=True)


class ResNetGenerator(Generator):
    """`resnet9`; `resunet`: the same layers and additive skips from the stem and the first down step; `plain_resnet9`:
    without the mask as an input, as CycleGAN has it.

    With the default width, batch norm, colour and no blend the first two have 11,391,811 parameters, and 163 tensors in
    the state dict. With `upsample="transposed"` their names are the released ones: model.1.weight ... model.26.bias.
    """

    blend_init = 0.02  # the 7x7 head sums 3136 values, three times as many as the U-Net's

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.has_skips = config.generator == "resunet"
        width, norm = config.resnet_width, config.generator_norm
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(self.in_channels, width, 7)]
        layers += [norm2d(norm, width), nn.ReLU()]
        for before, after in ((width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), norm2d(norm, after), nn.ReLU()]
        layers += [ResidualBlock(4 * width, norm) for _ in range(BLOCKS)]
        for before, after in ((4 * width, 2 * width), (2 * width, width)):
            layers += [_up(config.upsample, before, after), norm2d(norm, after), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, self.drawn_channels, 7)]
        self.model = nn.Sequential(*layers)

    @property
    def last_layer(self) -> nn.Module:
        return self.model[-1]

    def draw(self, seen: Tensor) -> Tensor:
        stem = self.model[STEM](seen)
        down = self.model[DOWN_1](stem)
        half = self.model[TRUNK](down)
        full = self.model[UP_2](half + down if self.has_skips else half)
        planes: Tensor = self.model[HEAD](full + stem if self.has_skips else full)
        return planes
