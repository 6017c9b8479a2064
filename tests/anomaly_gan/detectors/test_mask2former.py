"""Mask2Former: what is ours around the package's network."""

import sys

import pytest
import torch
from torch import Tensor

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.mask2former import QUERIES, TERMS, Mask2Former, _found
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from infra.errors import NotFoundError
from tests.support.builders_detectors import bright_square, tiny


def mask2former(num_classes: int = 1) -> Mask2Former:
    model = build_detector(num_classes, tiny("mask2former"))
    assert isinstance(model, Mask2Former)
    return model


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "anomaly_gan.detectors.mask2former")
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        NotFoundError, match=r"mask2former needs the package transformers .*; install agan\[mask2former\]"
    ):
        build_detector(1, tiny("mask2former"))


def probabilities(*masks: tuple[slice, slice, float]) -> Tensor:
    """[Q, 20, 30] mask probabilities: .1 but for a rectangle each."""
    planes = torch.full((len(masks), 20, 30), 0.1)
    for plane, (rows, columns, value) in zip(planes, masks, strict=True):
        plane[rows, columns] = value
    return planes


def test_a_query_is_a_detection_of_each_class_scored_by_class_and_mask() -> None:
    masks = probabilities((slice(2, 5), slice(3, 9), 0.6), (slice(10, 12), slice(20, 30), 0.8))
    found = _found(torch.tensor([[0.5, 0.1], [0.2, 0.7]]), masks)
    assert found["labels"].tolist() == [2, 1, 1, 2]
    assert found["scores"].tolist() == pytest.approx([0.7 * 0.8, 0.5 * 0.6, 0.2 * 0.8, 0.1 * 0.6])
    assert found["boxes"].tolist() == [[20, 10, 30, 12], [3, 2, 9, 5], [20, 10, 30, 12], [3, 2, 9, 5]]
    assert torch.equal(found["masks"][:, 0], masks[[1, 0, 1, 0]])


def test_a_query_without_a_pixel_is_no_detection_and_still_counts_in_the_maps() -> None:
    masks = probabilities((slice(2, 5), slice(3, 9), 0.4), (slice(10, 12), slice(20, 30), 0.8))
    found = _found(torch.tensor([[0.5], [0.9]]), masks)
    assert found["boxes"].tolist() == [[20, 10, 30, 12]]
    assert found["maps"].shape == (1, 20, 30)
    assert found["maps"][0, 3, 4].item() == pytest.approx(0.5 * 0.4)
    assert found["maps"][0, 10, 25].item() == pytest.approx(0.9 * 0.8)
    assert found["maps"][0, 0, 0].item() == pytest.approx(0.9 * 0.1)
    nothing = _found(torch.tensor([[0.5]]), masks[:1])
    assert {name: tuple(tensor.shape) for name, tensor in nothing.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "scores": (0,),
        "masks": (0, 1, 20, 30),
        "maps": (1, 20, 30),
    }


def test_every_layer_is_matched_and_learns_masks_classes_and_overlap() -> None:
    model = mask2former(2)
    square = bright_square("a")
    terms = model([to_image(square)], [to_target(to_instances(square, ["crack", "hole"]))])
    assert sorted(terms) == sorted(TERMS)
    layers, masks = model.decoder(list(model.backbone(torch.zeros(1, 3, 64, 96)).values()))
    assert [tuple(each.shape) for each in layers] == [(1, QUERIES, 3)] * 4
    assert [tuple(each.shape) for each in masks] == [(1, QUERIES, 16, 24)] * 4


def test_the_class_that_is_annotated_is_the_one_that_is_learnt_and_the_last_logit_is_none() -> None:
    model = mask2former(2)
    square = bright_square("a")
    target = to_target(to_instances(square, ["crack", "hole"]))
    bias = model.decoder.classes.bias
    lost = []
    for sure in ([0.0, 8.0, 0.0], [8.0, 0.0, 0.0]):
        with torch.no_grad():
            bias.copy_(torch.tensor(sure))
            model.decoder.classes.weight.zero_()
        torch.manual_seed(0)
        lost.append(model([to_image(square)], [target])["cross_entropy"].item())
    assert lost[0] < lost[1]
    with torch.no_grad():
        bias.copy_(torch.tensor([0.0, 0.0, 20.0]))
    (found,) = model.eval()([to_image(square)])
    assert found["maps"].max() < 1e-6


def test_pictures_of_any_size_have_masks_of_their_size() -> None:
    model = mask2former().eval()
    sizes = [(61, 83), (64, 64)]
    for found, size in zip(model([torch.rand(3, *size) for size in sizes]), sizes, strict=True):
        assert found["maps"].shape == (1, *size)
        assert found["masks"].shape[1:] == (1, *size)
        assert len(found["boxes"]) == len(found["scores"]) == len(found["masks"]) <= QUERIES
