"""AlexNet that a shift hardly changes (Ghildyal and Liu, Shift-tolerant perceptual similarity metric, ECCV 2022)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anomaly_gan.networks.pretrained import pick

FILE_KEYS = {
    "conv1": "net.slice1.0",
    "conv2": "net.slice2.5",
    "conv3": "net.slice3.9",
    "conv4": "net.slice4.11",
    "conv5": "net.slice5.13",
}
"""Layer -> its name in the authors' file, whose other entries are fixed blurs, the input's scale, and the heads."""

CHANNELS = (64, 192, 384, 256, 256)
"""Of the five stages."""


class ShiftTolerantAlexNet(nn.Module):
    """AlexNet's five convolutions at a stride of 1; sides are halved by a blur, after the first and after the maxima.

    A stride drops pixels, so that a shift by one pixel gives other features; a blurred map changes little.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 11, padding=2)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[1], 5, padding=2)
        self.conv3 = nn.Conv2d(CHANNELS[1], CHANNELS[2], 3, padding=1)
        self.conv4 = nn.Conv2d(CHANNELS[2], CHANNELS[3], 3, padding=1)
        self.conv5 = nn.Conv2d(CHANNELS[3], CHANNELS[4], 3, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[N, 3, H, W], H and W at least 32 -> the rectified maps of the five stages, [N, C, h, w] each."""
        stages = [F.relu(_halved(self.conv1(images)))]
        for conv in (self.conv2, self.conv3):
            stages.append(F.relu(conv(_halved(F.max_pool2d(stages[-1], 3, stride=1)))))
        for conv in (self.conv4, self.conv5):
            stages.append(F.relu(conv(stages[-1])))
        return stages


def load_trunk(state: Mapping[str, Tensor], name: str) -> ShiftTolerantAlexNet:
    """The network with the weights of the authors' file.

    Raises:
        DataError: the state dict is that of another network; the message begins with `name`.
    """
    network = ShiftTolerantAlexNet()
    own = network.state_dict()
    in_file = {key: f"{FILE_KEYS[layer]}.{kind}" for key in own for layer, _, kind in [key.partition(".")]}
    picked = pick(state, {in_file[key]: tensor for key, tensor in own.items()}, name)
    network.load_state_dict({key: picked[in_file[key]] for key in own})
    return network


def _halved(maps: Tensor) -> Tensor:
    """Every second pixel of maps that are blurred by (1 2 1) / 4 both ways; mirrored by 2 px, so that 1 px is won."""
    channels = maps.shape[1]
    row = torch.tensor([0.25, 0.5, 0.25], dtype=maps.dtype, device=maps.device)
    blur = torch.outer(row, row).expand(channels, 1, 3, 3)
    return F.conv2d(F.pad(maps, (2, 2, 2, 2), mode="reflect"), blur, stride=2, groups=channels)
