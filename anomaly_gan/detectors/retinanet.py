"""RetinaNet (Lin et al. 2017): classes and boxes straight from dense anchors, with the focal loss; boxes alone."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.retinanet import RetinaNetHead

from anomaly_gan.detectors.backbones import CHANNELS, NativeSize, feature_pyramid, group_norm
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.rcnn import ASPECT_RATIOS, anchors

BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
"""Offsets of centres and of log sides are learnt so many times as large, as in the box head of the R-CNN family: else
the loss of the boxes is small beside that of the classes, and boxes stay rough for long."""
MAX_DETECTIONS = 100
"""The best of a picture; average precision takes as many."""


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `box_parts` of the R-CNN family; its knobs of proposals and samples decide nothing."""
    return _LabelsFromOne(
        feature_pyramid(config, weights_folder),
        num_classes,
        anchor_generator=anchors(config),
        head=RetinaNetHead(CHANNELS, len(ASPECT_RATIOS), num_classes, norm_layer=group_norm),
        detections_per_img=MAX_DETECTIONS,
    )


class _LabelsFromOne(RetinaNet):  # type: ignore[misc]  # torchvision has no types
    """Sees pictures at their own size, and numbers classes from 1 where torchvision's begins at 0.

    RetinaNet has one sigmoid for each class and none for the background.
    """

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.transform = NativeSize()
        self.box_coder = self.head.regression_head.box_coder = BoxCoder(weights=BOX_SCALES)

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
