"""A small U-Net (Ronneberger et al. 2015), as the field tests generated anomalies: one probability per class and pixel.

It is trained from scratch, in minutes on one core. Its detections are the connected parts of the thresholded map.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.targets import MIN_INSTANCE_PX

WIDTHS = (16, 32, 64, 128)
"""Channels at strides 1, 2, 4 and 8."""
MULTIPLE = 1 << (len(WIDTHS) - 1)
"""Sides that the network can halve so often without a rest; other pictures are padded up to one."""
GROUP = 8
"""Channels of a group of the norm, which takes no statistics over a batch."""
PRIOR = 0.01
"""Probability that an untrained network gives a pixel: about the share of anomalous ones, so that it has nothing to
unlearn."""
CROSS_ENTROPY_WEIGHT = 5.0
"""Against a Dice term of weight 1: a mean over all pixels is small where one in a hundred is anomalous."""
THRESHOLD = 0.5
"""Pixels of at least this probability form the parts."""
MAX_PARTS = 100
"""The best parts of a picture that become detections; average precision takes as many."""


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """The network with random weights for K = `num_classes`; the other arguments decide nothing here."""
    return Segmenter(num_classes)


class Segmenter(nn.Module):
    """Takes and gives what torchvision's Mask R-CNN does, and with it the map that its detections are cut from."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.downs = nn.ModuleList(_block(before, after) for before, after in pairwise((3, *WIDTHS)))
        self.ups = nn.ModuleList(_block(fine + coarse, fine) for fine, coarse in reversed([*pairwise(WIDTHS)]))
        self.head = nn.Conv2d(WIDTHS[0], num_classes, 1)
        nn.init.constant_(self.head.get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))
        self.to(memory_format=torch.channels_last)  # on CPUs a step takes a quarter less

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, else what is found.

        Args:
            images: each [3, H, W] float 0..1, of any sizes.
            targets: one per image, as `to_target` gives them; read in training mode alone.

        Returns:
            In training mode the terms "cross_entropy" and "dice". Else for each image "boxes" [n, 4], "labels" [n],
            "scores" [n] and "masks" [n, 1, H, W] as torchvision has them, best first, and "maps" [K, H, W], the
            probability of each class at each pixel.
        """
        if self.training:
            assert targets is not None
            return self._losses(images, targets)
        return [_found(self._logits(image[None])[0].sigmoid()) for image in images]

    def _logits(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] 0..1 -> [N, K, H, W]."""
        height, width = images.shape[-2:]
        features = _padded(2 * images - 1, _rounded_up(height), _rounded_up(width))
        features = features.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for down in self.downs:
            features = down(functional.max_pool2d(features, 2) if skips else features)
            skips.append(features)
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            features = up(torch.cat([skip, functional.interpolate(features, scale_factor=2.0)], 1))
        logits: Tensor = self.head(features)[..., :height, :width]
        return logits

    def _losses(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
        logits = self._logits(torch.stack([_padded(image[None], height, width)[0] for image in images]))
        wanted = [_wanted(target, self.head.out_channels) for target in targets]
        truth = torch.stack([_padded(planes[None], height, width)[0] for planes in wanted])
        return {
            "cross_entropy": CROSS_ENTROPY_WEIGHT * functional.binary_cross_entropy_with_logits(logits, truth),
            "dice": _dice_loss(logits.sigmoid(), truth),
        }


def _dice_loss(maps: Tensor, truth: Tensor) -> Tensor:
    """Mean over the classes that the batch has, 0 where it has none; both [N, K, H, W], summed over the batch.

    A class without a pixel in the batch has no part in it: its ratio is 0 whatever is predicted. Cross entropy alone
    teaches what normal pictures are.
    """
    annotated = truth.sum((0, 2, 3))  # [K]
    overlap = (2 * (maps * truth).sum((0, 2, 3)) + 1) / (maps.sum((0, 2, 3)) + annotated + 1)
    present = annotated > 0
    return ((1 - overlap) * present).sum() / present.sum().clamp(min=1)


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_layer(before, after), *_layer(after, after))


def _layer(before: int, after: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.GroupNorm(after // GROUP, after),
        nn.ReLU(inplace=True),
    ]


def _rounded_up(side: int) -> int:
    return side + -side % MULTIPLE


def _padded(planes: Tensor, height: int, width: int) -> Tensor:
    """[N, C, h, w] -> [N, C, height, width]: the last row and column are repeated."""
    below, right = height - planes.shape[-2], width - planes.shape[-1]
    return functional.pad(planes, (0, right, 0, below), mode="replicate") if below or right else planes


def _wanted(target: dict[str, Tensor], num_classes: int) -> Tensor:
    """[K, H, W] float {0, 1} from the instances of one image."""
    masks, labels = target["masks"], target["labels"]
    planes = masks.new_zeros((num_classes, *masks.shape[-2:]), dtype=torch.float32)
    for label, mask in zip(labels.tolist(), masks, strict=True):
        planes[label - 1] = torch.maximum(planes[label - 1], mask.float())
    return planes


def _found(maps: Tensor) -> dict[str, Tensor]:
    """The connected parts of [K, H, W] probabilities as detections, best first, and the maps themselves."""
    parts = [part for label, plane in enumerate(maps.detach().cpu().numpy(), start=1) for part in _parts(label, plane)]
    parts = sorted(parts, key=lambda part: part.score, reverse=True)[:MAX_PARTS]
    masks = np.zeros((len(parts), 1, *maps.shape[-2:]), np.float32)
    for mask, part in zip(masks, parts, strict=True):
        mask[0] = part.mask
    found = {
        "boxes": torch.tensor([part.box for part in parts], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([part.label for part in parts], dtype=torch.int64),
        "scores": torch.tensor([part.score for part in parts], dtype=torch.float32),
        "masks": torch.from_numpy(masks),
    }
    return {name: tensor.to(maps.device) for name, tensor in found.items()} | {"maps": maps}


@dataclass(frozen=True)
class _Part:
    """`box` is x1 y1 x2 y2 with the last row and column inside, `mask` [H, W] bool, `score` its mean probability."""

    label: int
    score: float
    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


def _parts(label: int, plane: NDArray[np.float32]) -> Iterator[_Part]:
    """The 8-connected parts of one class, without specks of fewer pixels than an annotated anomaly has."""
    above = (plane >= THRESHOLD).astype(np.uint8)
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    for number in range(1, count):  # 0 is the background
        left, top, width, height, area = (int(value) for value in stats[number])
        if area >= MIN_INSTANCE_PX:
            mask = numbers == number
            yield _Part(label, float(plane[mask].mean()), (left, top, left + width, top + height), mask)
