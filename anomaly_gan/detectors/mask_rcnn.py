"""Mask R-CNN (He et al. 2017): Faster R-CNN with a head that draws a mask within each box."""

from pathlib import Path

from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from anomaly_gan.detectors.backbones import CHANNELS, LEVELS, NativeSize
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.rcnn import ROI_SIDE, box_parts


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `box_parts`."""
    model: nn.Module = MaskRCNN(
        **box_parts(num_classes, config, weights_folder),
        mask_roi_pool=MultiScaleRoIAlign(LEVELS, output_size=2 * ROI_SIDE, sampling_ratio=2),
        mask_head=MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, dilation=1),
        mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, num_classes + 1),
    )
    model.transform = NativeSize()
    return model
