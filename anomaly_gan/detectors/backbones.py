"""The feature networks of the detectors, and how pictures enter them.

They are torchvision's, fitted to small anomalies and to training from scratch. Ours: features from stride 4 on, no
resizing of the view, 128 channels in the pyramid, and GroupNorm in place of BatchNorm, whose statistics are useless at
2 to 8 images a batch (Wu and He 2018; He et al. 2019 train detectors from scratch with it).
"""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.networks.aware import IMAGENET_MEAN, IMAGENET_STD
from anomaly_gan.networks.pretrained import pick, read_state
from anomaly_gan.networks.weights import WEIGHTS
from infra.errors import NotFoundError

CHANNELS = 128
"""Channels of every level of the pyramid, and of the heads that look at it."""
LEVELS = ("0", "1", "2", "3")
"""Names of the levels at strides 4, 8, 16 and 32, finest first."""

MOBILENET_TAPS = {"2": 24, "4": 40, "7": 80, "16": 960}
RESNET_TAPS = {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
"""Layer -> channels at strides 4, 8, 16 and 32."""


class NativeSize(GeneralizedRCNNTransform):  # type: ignore[misc]  # torchvision has no types
    """Normalises and batches images; they keep the size of the view, in training and in prediction."""

    def __init__(self) -> None:
        super().__init__(min_size=1, max_size=1, image_mean=list(IMAGENET_MEAN), image_std=list(IMAGENET_STD))

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


def feature_pyramid(config: DetectorConfig, weights_folder: Path | None) -> BackboneWithFPN:
    """The feature network with a pyramid on it (Lin et al. 2017): `CHANNELS` at `LEVELS`, and "pool" at stride 64.

    Arguments and errors as `feature_network`.
    """
    body, taps = _loaded_body(config, weights_folder)
    return BackboneWithFPN(
        body,
        return_layers=_named(taps),
        in_channels_list=list(taps.values()),
        out_channels=CHANNELS,
        norm_layer=group_norm,
    )


def feature_network(config: DetectorConfig, weights_folder: Path | None) -> tuple[nn.Module, list[int]]:
    """(network, channels of its `LEVELS`); it takes normalised [N, 3, H, W] and gives level -> [N, C, h, w].

    Args:
        config: the detector's knobs.
        weights_folder: where the file of the weights is, read only for `config.weights = "file"`.

    Raises:
        NotFoundError: the file is wanted and not there.
        DataError: the file holds another network.
    """
    body, taps = _loaded_body(config, weights_folder)
    return IntermediateLayerGetter(body, return_layers=_named(taps)), list(taps.values())


def group_norm(channels: int) -> nn.Module:
    """Groups of 8 channels: every width of both backbones divides by 8."""
    return nn.GroupNorm(channels // 8, channels)


def _named(taps: dict[str, int]) -> dict[str, str]:
    return dict(zip(taps, LEVELS, strict=True))


def _loaded_body(config: DetectorConfig, weights_folder: Path | None) -> tuple[nn.Module, dict[str, int]]:
    norm = FrozenBatchNorm2d if config.weights == "file" else group_norm
    body, taps = _body(config, norm)
    if config.weights == "file":
        _load(body, config, weights_folder)
    return body, taps


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
