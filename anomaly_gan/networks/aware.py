"""The abnormal aware network (paper, Fig. 6): VGG-16 from conv1_1 to conv3_3, with three taps."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from infra.errors import DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TAPS = (3, 11, 15)
"""Indices of ReLU_2, ReLU_5 and ReLU_7 in `features`, torchvision's numbering of VGG-16."""


class AwareNetwork(nn.Module):
    """Seven convolutions with pools after the second and fourth: 1,735,488 parameters.

    The names of its weights are those of torchvision's VGG-16 (features.0.weight ...).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in ((64, 64), (128, 128), (256, 256, 256)):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, crop: Tensor) -> list[Tensor]:
        """Features at ReLU_2, ReLU_5 and ReLU_7.

        Args:
            crop: [N, 3, 64, 64] in [-1, 1].

        Returns:
            [N, 64, 64, 64], [N, 256, 16, 16], [N, 256, 16, 16].
        """
        mean, std = cast(Tensor, self.mean), cast(Tensor, self.std)
        features = ((crop + 1) / 2 - mean) / std
        tapped = []
        for i, layer in enumerate(self.features):
            features = layer(features)
            if i in TAPS:
                tapped.append(features)
        return tapped

    def frozen(self) -> "AwareNetwork":
        """The same network in evaluation mode, its weights out of every gradient."""
        return self.eval().requires_grad_(False)


def load_vgg16(state: Mapping[str, Tensor], name: str) -> AwareNetwork:
    """The network with the first seven convolutions of a torchvision VGG-16 state dict.

    Raises:
        DataError: a tensor is missing or has another shape; the message begins with `name`.
    """
    network = AwareNetwork()
    wanted = network.state_dict()
    for key, tensor in wanted.items():
        if key not in state:
            raise DataError(f"{name}: has no {key}; expected a VGG-16 state dict of torchvision")
        if state[key].shape != tensor.shape:
            raise DataError(f"{name}: {key} has shape {tuple(state[key].shape)}, expected {tuple(tensor.shape)}")
    network.load_state_dict({key: state[key] for key in wanted})
    return network.frozen()
