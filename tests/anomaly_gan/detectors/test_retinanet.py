"""RetinaNet: what is ours about it."""

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


def test_anchors_of_a_level_go_on_in_thirds_of_an_octave_at_every_aspect_ratio() -> None:
    model = build_detector(1, tiny("retinanet"))
    finest = model.get_submodule("anchor_generator").cell_anchors[0]  # type: ignore[index]
    sides = (finest[:, 2:] - finest[:, :2]).prod(1).sqrt()
    assert len(finest) == 15
    for size in (8, 8 * 2 ** (1 / 3), 8 * 2 ** (2 / 3)):
        assert ((sides - size).abs() < 1.5).any()  # torchvision rounds them to pixels
    assert (finest[:, 3] - finest[:, 1]).max() >= 4 * 8 / 2
