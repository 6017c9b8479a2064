"""What the detectors of the R-CNN family share."""

import torch

from anomaly_gan.detectors.build import build_detector
from tests.support.builders_detectors import tiny


def test_both_detectors_share_backbone_and_box_head() -> None:
    """Only the proposal network is drawn after the mask head, and so from other random numbers."""
    boxes, masks = (build_detector(1, tiny(name)).state_dict() for name in ("faster_rcnn", "mask_rcnn"))
    assert {key.split(".")[1] for key in masks.keys() - boxes.keys()} == {"mask_head", "mask_predictor"}
    shared = [key for key in boxes if not key.startswith("rpn.")]
    assert all(torch.equal(boxes[key], masks[key]) for key in shared)
