"""RetinaNet: what is ours about it."""

import pytest
import torch

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from tests.support.builders_detectors import bright_square, tiny


def test_classes_are_numbered_from_1_in_targets_and_detections() -> None:
    """A cell of the class map that is sure of its first class is a detection of label 1."""
    model = build_detector(2, tiny("retinanet")).eval()
    logits = model.get_submodule("head.classification_head.cls_logits")
    torch.nn.init.zeros_(logits.get_parameter("weight"))
    bias = logits.get_parameter("bias")
    with torch.no_grad():
        bias.copy_(torch.tensor([3.0, -9.0]).repeat(len(bias) // 2))
    (found,) = model([to_image(bright_square("a"))])
    assert len(found["labels"]) == 100
    assert found["labels"].unique().tolist() == [1]
    square = bright_square("a")
    target = to_target(to_instances(square, ["hole"]))
    losses = []
    for label in (1, 2):
        bad = {**target, "labels": torch.tensor([label])}
        losses.append(model.train()([to_image(square)], [bad])["classification"].item())
        model.eval()
    assert losses[0] < losses[1]


def test_offsets_are_coded_and_decoded_at_one_scale() -> None:
    model = build_detector(1, tiny("retinanet"))
    head = model.get_submodule("head.regression_head")
    assert model.box_coder is head.box_coder
    anchors, truth = torch.tensor([[0.0, 0, 20, 10]]), torch.tensor([[2.0, 0, 22, 10]])
    (offsets,) = head.box_coder.encode([truth], [anchors])  # type: ignore[operator, union-attr]
    assert offsets.tolist() == [[pytest.approx(10 * 2 / 20), 0, 0, 0]]
