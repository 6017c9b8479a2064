"""RetinaNet (Lin et al. 2017): classes and boxes straight from dense anchors, with the focal loss; boxes alone."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead

from anomaly_gan.detectors.backbones import CHANNELS, NativeSize, feature_pyramid, group_norm
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.rcnn import ASPECT_RATIOS

SIZES_PER_LEVEL = 3
"""Anchors of a level have its size and two more in equal ratios below the next level's, as in the paper."""
MAX_DETECTIONS = 100
"""The best of a picture; average precision takes as many."""


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `box_parts` of the R-CNN family; its knobs of proposals and samples decide nothing."""
    return _LabelsFromOne(
        feature_pyramid(config, weights_folder),
        num_classes,
        anchor_generator=_anchors(config),
        head=RetinaNetHead(CHANNELS, SIZES_PER_LEVEL * len(ASPECT_RATIOS), num_classes, norm_layer=group_norm),
        detections_per_img=MAX_DETECTIONS,
    )


def _anchors(config: DetectorConfig) -> AnchorGenerator:
    return AnchorGenerator(
        sizes=tuple(
            tuple(size * 2 ** (number / SIZES_PER_LEVEL) for number in range(SIZES_PER_LEVEL))
            for size in config.anchor_sizes_px
        ),
        aspect_ratios=(ASPECT_RATIOS,) * len(config.anchor_sizes_px),
    )


class _LabelsFromOne(RetinaNet):  # type: ignore[misc]  # torchvision has no types
    """Sees pictures at their own size, and numbers classes from 1 where torchvision's begins at 0.

    RetinaNet has one sigmoid for each class and none for the background.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.transform = NativeSize()

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        if self.training:
            assert targets is not None
            losses: dict[str, Tensor] = super().forward(
                list(images), [{**target, "labels": target["labels"] - 1} for target in targets]
            )
            return losses
        return [{**found, "labels": found["labels"] + 1} for found in super().forward(list(images))]
