"""The U-Net that names the class of every pixel, and its parts."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.segmenter import MULTIPLE, Segmenter
from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.detectors.training import predict, train_detector
from anomaly_gan.samples.sample import Sample
from tests.support.builders_detectors import bright_square, detection_scores, tiny

CLASSES = ["hole", "crack"]


def segmenter(num_classes: int = 1) -> nn.Module:
    return build_detector(num_classes, tiny("segmenter"))


def losses(model: nn.Module, samples: list[Sample], classes: list[str] = CLASSES) -> dict[str, Tensor]:
    targets = [to_target(to_instances(sample, classes)) for sample in samples]
    terms: dict[str, Tensor] = model.train()([to_image(sample) for sample in samples], targets)
    return terms


def grey(key: str, height: int, width: int) -> Sample:
    return Sample(key, np.random.default_rng(0).integers(70, 90, (height, width), dtype=np.uint8))


class Drawn(Segmenter):
    """A segmenter whose map is given: [K, H, W] probabilities."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__(len(maps))
        self.drawn = maps

    def _logits(self, images: Tensor) -> Tensor:
        return self.drawn.logit()[None]


def test_it_has_half_a_million_parameters() -> None:
    assert 450_000 < sum(parameter.numel() for parameter in segmenter().parameters()) < 550_000


def test_a_step_reaches_every_parameter() -> None:
    model = segmenter(2)
    terms = losses(model, [bright_square("a"), bright_square("b", top=30)])
    torch.autograd.backward(list(terms.values()))
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


def test_a_batch_of_normal_pictures_has_a_small_finite_loss() -> None:
    terms = losses(segmenter(2), [grey("a", 64, 64), grey("b", 64, 64)])
    assert sorted(terms) == ["cross_entropy", "dice"]
    assert 0 < terms["cross_entropy"] < 0.5
    assert terms["dice"] == 0


def test_losses_of_a_hand_computed_case() -> None:
    """Every pixel of 64 x 64 is given 1/2; 256 of them are of the first class, none is of the second."""
    terms = losses(Drawn(torch.full((2, 64, 64), 0.5)), [bright_square("a", side=16)])
    assert terms["cross_entropy"].item() == pytest.approx(5 * np.log(2), rel=1e-5)
    assert terms["dice"].item() == pytest.approx(1 - (2 * 128 + 1) / (2048 + 256 + 1), rel=1e-5)


def test_the_loss_falls_where_the_map_is_true_for_the_class_that_is_annotated() -> None:
    square = bright_square("a")
    right = torch.full((2, 64, 64), 0.01)
    right[1][torch.from_numpy(square.masks["hole"]) > 0] = 0.99
    true, swapped = (losses(Drawn(maps), [square], ["crack", "hole"]) for maps in (right, right.flip(0)))
    assert all(true[name] < 0.2 * swapped[name] for name in true)


def test_pictures_of_a_batch_may_differ_in_size() -> None:
    terms = losses(segmenter(), [bright_square("a", size=64), grey("b", 50, 90)], ["hole"])
    assert all(term.isfinite() for term in terms.values())


def test_the_map_of_a_picture_of_any_size_is_cut_from_that_of_the_picture_continued_to_the_multiple() -> None:
    model = segmenter().eval()
    picture = to_image(grey("a", 61, 51))
    continued = torch.nn.functional.pad(picture, (0, 56 - 51, 0, 64 - 61), mode="replicate")
    (cut,), (whole,) = model([picture]), model([continued])
    assert torch.allclose(cut["maps"], whole["maps"][:, :61, :51], rtol=1e-5, atol=0)


def test_a_prediction_of_a_picture_does_not_depend_on_the_others_in_its_call() -> None:
    model = segmenter().eval()
    pictures = [to_image(bright_square("a")), to_image(grey("b", 64, 64))]
    together = [found["maps"] for found in model(pictures)]
    alone = [model([each])[0]["maps"] for each in pictures]
    assert all(torch.equal(*maps) for maps in zip(together, alone, strict=True))


def test_detections_are_the_connected_parts_of_each_class_best_first() -> None:
    maps = torch.full((2, 20, 30), 0.1)
    maps[0, 2:5, 3:9] = 0.6
    maps[0, 5:8, 9:12] = 0.8  # touches at a corner: the same part
    maps[1, 10:12, 20:30] = 0.9
    maps[1, 15, 1:4] = 0.9  # a speck
    (found,) = Drawn(maps).eval()([torch.zeros(3, 20, 30)])
    assert found["boxes"].tolist() == [[20, 10, 30, 12], [3, 2, 12, 8]]
    assert found["labels"].tolist() == [2, 1]
    assert found["scores"].tolist() == pytest.approx([0.9, (18 * 0.6 + 9 * 0.8) / 27])
    assert found["masks"].shape == (2, 1, 20, 30)
    assert found["masks"].sum((1, 2, 3)).tolist() == [20, 27]
    assert torch.allclose(found["maps"], maps)


def test_a_map_below_the_threshold_gives_no_detections() -> None:
    (found,) = Drawn(torch.full((1, 20, 30), 0.1)).eval()([torch.zeros(3, 20, 30)])
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "scores": (0,),
        "masks": (0, 1, 20, 30),
        "maps": (1, 20, 30),
    }


def test_a_network_trained_on_windows_finds_the_anomaly_of_a_larger_frame() -> None:
    config = tiny("segmenter", steps=30, learning_rate=3e-3, warmup_steps=5)
    model = build_detector(1, config)
    windows = [bright_square(f"{i}", top=8 + 30 * i, left=90 - 30 * i, size=128) for i in range(3)]
    for _ in train_detector(model, [Stream("all", 1.0, windows)], ["hole"], config):
        pass
    frame = grey("f", 300, 260)
    frame.image[200:220, 150:170] = 200
    (found,) = predict(model, [frame], ["hole"], has_masks=True)
    assert found.maps is not None and found.maps.shape == (1, 300, 260)
    inside = found.maps[0, 200:220, 150:170].mean()
    assert inside > 10 * found.maps.mean()
    assert np.abs(found.boxes[0] - [150, 200, 170, 220]).max() <= 3


def test_a_frame_moved_by_the_multiple_moves_its_map() -> None:
    """But for the rim, which sees the padding, and for the norm, whose statistics are those of the whole frame."""
    model = segmenter().eval()
    frame = to_image(Sample("a", np.random.default_rng(0).integers(0, 255, (296, 264), dtype=np.uint8)))
    with torch.no_grad():
        still, moved = (model([each])[0]["maps"] for each in (frame, frame.roll((2 * MULTIPLE, MULTIPLE), (1, 2))))
        off = model([frame.roll((3, 5), (1, 2))])[0]["maps"]
    inner = (..., slice(80, -80), slice(80, -80))
    expected = still.roll((2 * MULTIPLE, MULTIPLE), (1, 2))[inner]
    assert (moved[inner] - expected).abs().max() < 0.1 * expected.std()
    assert (off[inner] - still.roll((3, 5), (1, 2))[inner]).abs().max() > expected.std()


def test_it_learns_8_small_pictures_by_heart() -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(8):
        top, left = rng.integers(4, 40, 2)
        square = bright_square(f"{number}", top=int(top), left=int(left), side=8 + number)
        kind = CLASSES[number % 2]
        image = np.where(square.masks["hole"] > 0, 200 if kind == "hole" else 20, square.image).astype(np.uint8)
        pictures.append(Sample(square.key, image, {kind: square.masks["hole"]}))
    config = tiny("segmenter", steps=80, batch_size=4, learning_rate=3e-3, warmup_steps=10)
    model = build_detector(2, config)
    for _ in train_detector(model, [Stream("all", 1.0, pictures)], CLASSES, config):
        pass
    found = list(predict(model, pictures, CLASSES, has_masks=True))
    scores = detection_scores(found, [to_instances(each, CLASSES) for each in pictures], CLASSES)
    assert min(scores.box_ap50, scores.mask_ap50 or 0) > 0.9
    for label, name in enumerate(CLASSES):
        truth = np.stack([each.masks.get(name, np.zeros((64, 64), np.uint8)) for each in pictures])
        maps = np.stack([each.maps[label] for each in found if each.maps is not None])
        assert pixel_ap(maps, truth) > 0.9


def pixel_ap(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean precision over the anomalous pixels, in the order of their scores."""
    ordered = truth.ravel()[np.argsort(-scores.ravel(), kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, ordered.size + 1)
    return float(precision[ordered > 0].mean())
