"""What the detectors of the R-CNN family share: anchors, proposals and the box head on the pyramid of features.

They are torchvision's. Ours: small and long anchors, and fewer proposals and channels than for photographs.
"""

from pathlib import Path
from typing import Any

from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from anomaly_gan.detectors.backbones import CHANNELS, LEVELS, feature_pyramid
from anomaly_gan.detectors.config import DetectorConfig

BOX_FEATURES = 512
ROI_SIDE = 7
ASPECT_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Height over width of the anchors; cracks and strips are long."""


def box_parts(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> dict[str, Any]:
    """Arguments of torchvision's `FasterRCNN`, and so of `MaskRCNN`, which adds a mask head.

    Args:
        num_classes: K anomaly classes, the background not counted.
        config: the detector's knobs.
        weights_folder: where the backbone's file is, read only for `config.weights = "file"`.

    Raises:
        NotFoundError: the backbone's file is wanted and not there.
        DataError: the file holds another network.
    """
    return {
        "backbone": feature_pyramid(config, weights_folder),
        "num_classes": None,  # the predictor below knows them
        "rpn_anchor_generator": anchors(config),
        "rpn_pre_nms_top_n_train": 2 * config.rpn_proposals,
        "rpn_pre_nms_top_n_test": 2 * config.rpn_proposals,
        "rpn_post_nms_top_n_train": config.rpn_proposals,
        "rpn_post_nms_top_n_test": config.rpn_proposals,
        "rpn_batch_size_per_image": config.rpn_samples,
        "box_batch_size_per_image": config.box_samples,
        "box_roi_pool": MultiScaleRoIAlign(LEVELS, output_size=ROI_SIDE, sampling_ratio=2),
        "box_head": TwoMLPHead(CHANNELS * ROI_SIDE**2, BOX_FEATURES),
        "box_predictor": FastRCNNPredictor(BOX_FEATURES, num_classes + 1),
    }


def anchors(config: DetectorConfig) -> AnchorGenerator:
    """One size on each level of the pyramid, at every aspect ratio."""
    return AnchorGenerator(
        sizes=tuple((size,) for size in config.anchor_sizes_px),
        aspect_ratios=(ASPECT_RATIOS,) * len(config.anchor_sizes_px),
    )
