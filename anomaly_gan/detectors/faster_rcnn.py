"""Faster R-CNN (Ren et al. 2015) on a feature pyramid: boxes alone, for a comparison that needs no masks."""

from pathlib import Path

from torch import nn
from torchvision.models.detection import FasterRCNN

from anomaly_gan.detectors.backbones import NativeSize
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.rcnn import box_parts


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `box_parts`."""
    model: nn.Module = FasterRCNN(**box_parts(num_classes, config, weights_folder))
    model.transform = NativeSize()
    return model
