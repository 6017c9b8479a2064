"""The feature networks that detectors share."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import mobilenet_v3_large
from torchvision.ops import FrozenBatchNorm2d

from anomaly_gan.detectors.backbones import LEVELS, feature_network, feature_pyramid
from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.detectors import DETECTORS
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from infra.errors import NotFoundError
from tests.support.builders_detectors import bright_square, tiny

WITH_BACKBONE = pytest.mark.parametrize("name", [name for name, each in DETECTORS.items() if each.has_backbone])


@WITH_BACKBONE
@pytest.mark.parametrize("training", [True, False])
def test_the_network_sees_the_view_at_its_own_size(name: str, training: bool) -> None:
    model = build_detector(1, tiny(name)).train(training)
    target = to_target(to_instances(bright_square("a"), ["hole"]))
    images, _ = model.get_submodule("transform")([to_image(bright_square("a"))], [target])
    assert images.tensors.shape == (1, 3, 64, 64)


@WITH_BACKBONE
def test_backbone_weights_come_from_the_weights_folder_or_the_missing_file_is_named(name: str, tmp_path: Path) -> None:
    config = tiny(name, weights="file")
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth, and no weights folder"):
        build_detector(1, config)
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth: no such weights file"):
        build_detector(1, config, tmp_path)
    state = mobilenet_v3_large(weights=None).state_dict()
    torch.save(state, tmp_path / "mobilenet_v3_large.pth")
    model = build_detector(1, config, tmp_path)
    first = next(tensor for tensor in model.state_dict().values() if tensor.shape == (16, 3, 3, 3))
    assert torch.equal(first, state["features.0.0.weight"])
    assert any(isinstance(module, FrozenBatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("backbone", ["mobilenet_v3_large_fpn", "resnet50_fpn"])
def test_features_begin_at_stride_4_and_the_pyramid_stands_on_them(backbone: str) -> None:
    config = tiny("mask_rcnn", backbone=backbone)
    network, channels = feature_network(config, None)
    picture = torch.zeros(1, 3, 64, 96)
    features: dict[str, Tensor] = network(picture)
    assert [tuple(features[level].shape[1:]) for level in LEVELS] == [
        (count, 64 // stride, 96 // stride) for count, stride in zip(channels, (4, 8, 16, 32), strict=True)
    ]
    levels: dict[str, Tensor] = feature_pyramid(config, None)(picture)
    assert [tuple(level.shape[1:]) for level in levels.values()] == [
        (128, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)
    ] + [(128, 1, 2)]
