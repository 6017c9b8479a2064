"""What the detectors of the R-CNN family share: backbone, pyramid, anchors, proposals and the box head.

They are torchvision's, fitted to small anomalies and to training from scratch. Ours: features from stride 4 on, small
and long anchors, no resizing of the view, 128 channels in pyramid and heads, and GroupNorm in place of BatchNorm,
whose statistics are useless at 2 to 8 images a batch (Wu and He 2018; He et al. 2019 train detectors from scratch
with it).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet50
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.networks.aware import IMAGENET_MEAN, IMAGENET_STD
from anomaly_gan.networks.pretrained import pick, read_state
from anomaly_gan.networks.weights import WEIGHTS
from infra.errors import NotFoundError

CHANNELS = 128
BOX_FEATURES = 512
ROI_SIDE = 7
POOLED = ["0", "1", "2", "3"]
"""Levels of the pyramid that the heads look at: strides 4, 8, 16 and 32."""
ASPECT_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Height over width of the anchors; cracks and strips are long."""

MOBILENET_TAPS = {"2": 24, "4": 40, "7": 80, "16": 960}
RESNET_TAPS = {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
"""Layer -> channels at strides 4, 8, 16 and 32."""


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
        "backbone": _backbone(config, weights_folder),
        "num_classes": None,  # the predictor below knows them
        "rpn_anchor_generator": AnchorGenerator(
            sizes=tuple((size,) for size in config.anchor_sizes_px),
            aspect_ratios=(ASPECT_RATIOS,) * len(config.anchor_sizes_px),
        ),
        "rpn_pre_nms_top_n_train": 2 * config.rpn_proposals,
        "rpn_pre_nms_top_n_test": 2 * config.rpn_proposals,
        "rpn_post_nms_top_n_train": config.rpn_proposals,
        "rpn_post_nms_top_n_test": config.rpn_proposals,
        "rpn_batch_size_per_image": config.rpn_samples,
        "box_batch_size_per_image": config.box_samples,
        "box_roi_pool": MultiScaleRoIAlign(POOLED, output_size=ROI_SIDE, sampling_ratio=2),
        "box_head": TwoMLPHead(CHANNELS * ROI_SIDE**2, BOX_FEATURES),
        "box_predictor": FastRCNNPredictor(BOX_FEATURES, num_classes + 1),
    }


class NativeSize(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Normalises and batches images; they keep the size of the view, in training and in prediction."""

    def __init__(self) -> None:
        super().__init__(min_size=1, max_size=1, image_mean=list(IMAGENET_MEAN), image_std=list(IMAGENET_STD))

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


def _backbone(config: DetectorConfig, weights_folder: Path | None) -> BackboneWithFPN:
    norm = FrozenBatchNorm2d if config.weights == "file" else _group_norm
    body, taps = _body(config, norm)
    if config.weights == "file":
        _load(body, config, weights_folder)
    return BackboneWithFPN(
        body,
        return_layers={layer: str(i) for i, layer in enumerate(taps)},
        in_channels_list=list(taps.values()),
        out_channels=CHANNELS,
        norm_layer=_group_norm,
    )


def _body(config: DetectorConfig, norm: Callable[[int], nn.Module]) -> tuple[nn.Module, dict[str, int]]:
    if config.backbone == "resnet50_fpn":
        return resnet50(weights=None, norm_layer=norm), RESNET_TAPS
    return mobilenet_v3_large(weights=None, norm_layer=norm).features, MOBILENET_TAPS


def _load(body: nn.Module, config: DetectorConfig, weights_folder: Path | None) -> None:
    name = WEIGHTS[config.backbone.removesuffix("_fpn")].file
    if weights_folder is None:
        raise NotFoundError(f"detector.weights: file needs {name}, and no weights folder is set; use random")
    path = weights_folder / name
    prefix = "features." if config.backbone.startswith("mobilenet") else ""
    state = read_state(path)
    wanted = {f"{prefix}{key}": tensor for key, tensor in body.state_dict().items()}
    picked = pick(state, wanted, str(path))
    body.load_state_dict({key.removeprefix(prefix): tensor for key, tensor in picked.items()})


def _group_norm(channels: int) -> nn.Module:
    """Groups of 8 channels: every width of both backbones divides by 8."""
    return nn.GroupNorm(channels // 8, channels)
