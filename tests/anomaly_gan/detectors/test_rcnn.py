"""What the detectors of the R-CNN family share."""

from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v3_large
from torchvision.ops import FrozenBatchNorm2d

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from infra.errors import NotFoundError
from tests.support.builders_detectors import bright_square, tiny

BOTH = pytest.mark.parametrize("name", ["mask_rcnn", "faster_rcnn"])


@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_the_network_sees_the_view_at_its_own_size(name: str, training: bool) -> None:
    model = build_detector(1, tiny(name)).train(training)
    target = to_target(to_instances(bright_square("a"), ["hole"]))
    images, _ = model.get_submodule("transform")([to_image(bright_square("a"))], [target])
    assert images.tensors.shape == (1, 3, 64, 64)


def test_both_detectors_share_backbone_and_box_head() -> None:
    """Only the proposal network is drawn after the mask head, and so from other random numbers."""
    boxes, masks = (build_detector(1, tiny(name)).state_dict() for name in ("faster_rcnn", "mask_rcnn"))
    assert {key.split(".")[1] for key in masks.keys() - boxes.keys()} == {"mask_head", "mask_predictor"}
    shared = [key for key in boxes if not key.startswith("rpn.")]
    assert all(torch.equal(boxes[key], masks[key]) for key in shared)


def test_backbone_weights_come_from_the_weights_folder_or_the_missing_file_is_named(tmp_path: Path) -> None:
    config = tiny("mask_rcnn", weights="file")
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth, and no weights folder"):
        build_detector(1, config)
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth: no such weights file"):
        build_detector(1, config, tmp_path)
    state = mobilenet_v3_large(weights=None).state_dict()
    torch.save(state, tmp_path / "mobilenet_v3_large.pth")
    model = build_detector(1, config, tmp_path)
    assert torch.equal(model.state_dict()["backbone.body.0.0.weight"], state["features.0.0.weight"])
    assert any(isinstance(module, FrozenBatchNorm2d) for module in model.modules())
