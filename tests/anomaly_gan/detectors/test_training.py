"""Training and prediction, the same for every listed detector."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import masks_to_boxes

from anomaly_gan.detectors import training
from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.detectors import DETECTORS, find_detector
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.detectors.training import Stream, draws, predict, train_detector, turned
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.support.builders_detectors import TINY, bright_square, detection_scores, tiny

EVERY_DETECTOR = pytest.mark.parametrize("name", DETECTORS)


@pytest.mark.parametrize("turn", range(8))
def test_turned_boxes_fit_the_turned_masks(turn: int) -> None:
    wide = bright_square("a")
    sample = Sample("a", wide.image[:40], {"hole": wide.masks["hole"][:40]})
    image, target = turned(to_image(sample), to_target(to_instances(sample, ["hole"])), turn)
    boxes = masks_to_boxes(target["masks"])
    boxes[:, 2:] += 1
    assert torch.equal(target["boxes"], boxes)
    assert image.shape[1:] == target["masks"].shape[1:]
    assert image[0][target["masks"][0] > 0].min() > image[0][target["masks"][0] == 0].max()


def test_the_eight_turns_are_all_different() -> None:
    image, target = torch.arange(12.0).reshape(1, 3, 4), to_target(to_instances(bright_square("a"), ["hole"]))
    views = {tuple(turned(image, target, turn)[0].flatten().tolist()) for turn in range(8)}
    assert len(views) == 8


@EVERY_DETECTOR
def test_training_is_reproducible_also_with_normal_images(name: str) -> None:
    samples = [bright_square("a"), bright_square("b", top=30, left=20), Sample("n", np.full((64, 64), 80, np.uint8))]
    config = tiny(name, steps=4)
    first, again = (
        [
            report.loss
            for report in train_detector(build_detector(1, config), [Stream("all", 1.0, samples)], ["hole"], config)
        ]
        for _ in range(2)
    )
    assert first == again
    assert len(first) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask_rcnn", "faster_rcnn", "mask_scoring_rcnn", "segmenter"])
def test_a_detector_learns_to_find_bright_squares_that_it_has_not_seen(name: str) -> None:
    """The others need more than these 60 steps; `test_overfit.py` has all."""
    train = [bright_square(f"{i}", top=4 + 8 * i, left=40 - 7 * i) for i in range(5)]
    test = [bright_square("t", top=24, left=14), bright_square("u", top=8, left=30)]
    config = tiny(name, steps=60, learning_rate=1e-3, warmup_steps=10, box_samples=32, rpn_proposals=64)
    model = build_detector(1, config)
    losses = [report.loss for report in train_detector(model, [Stream("all", 1.0, train)], ["hole"], config)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    found = list(predict(model, test, ["hole"], has_masks=find_detector(name).has_masks))
    scores = detection_scores(found, [to_instances(each, ["hole"]) for each in test], ["hole"])
    assert (scores.box_ap50 if scores.mask_ap50 is None else scores.mask_ap50) > 0.7


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.25, 0.25), (0.5, 0.3, 0.2)])
def test_after_any_number_of_images_each_stream_has_had_its_share_to_less_than_one_image(
    shares: tuple[float, ...],
) -> None:
    streams = [Stream(f"s{i}", share, [bright_square("a")] * 3) for i, share in enumerate(shares)]
    counts = np.zeros(len(shares))
    for number, (stream, _) in enumerate(islice(draws(streams, 0), 200), start=1):
        counts[stream] += 1
        assert (abs(counts - number * np.array(shares)) < 1).all()


def test_a_stream_is_seen_in_the_same_order_whatever_else_is_shown() -> None:
    first, second = Stream("real", 0.5, [bright_square("a")] * 7), Stream("more", 0.25, [bright_square("b")] * 5)
    alone = [i for k, i in islice(draws([replace(first, share=1.0)], 3), 20)]
    mixed = [i for k, i in islice(draws([second, replace(first, share=0.75)], 3), 60) if k == 1]
    assert mixed[:20] == alone
    assert sorted(alone[:7]) == list(range(7))
    assert [i for _, i in islice(draws([replace(first, share=1.0)], 4), 20)] != alone


def test_a_stream_without_pictures_is_refused_by_its_name() -> None:
    streams = [Stream("normal", 0.5, [bright_square("a")]), Stream("generated", 0.5, [])]
    with pytest.raises(DataError, match="detector: no generated training images"):
        next(train_detector(build_detector(1, TINY), streams, ["hole"], TINY))


@pytest.mark.parametrize("backbone", ["mobilenet_v3_large_fpn", "resnet50_fpn"])
def test_predictions_have_the_size_of_the_image_and_known_labels(backbone: str) -> None:
    model = build_detector(2, tiny("mask_rcnn", backbone=backbone))
    (found,) = predict(model, [bright_square("a", size=72)], ["hole", "crack"], has_masks=True)
    assert found.masks is not None and found.masks.shape[1:] == (72, 72)
    assert len(found.boxes) == len(found.labels) == len(found.scores) == len(found.masks)
    assert set(found.labels.tolist()) <= {1, 2}


def test_a_detector_of_boxes_predicts_no_masks() -> None:
    model = build_detector(2, tiny("faster_rcnn"))
    (found,) = predict(model, [bright_square("a", size=72)], ["hole", "crack"], has_masks=False)
    assert found.masks is None and found.maps is None
    assert len(found.boxes) == len(found.labels) == len(found.scores) > 0
    assert set(found.labels.tolist()) <= {1, 2}
    assert found.boxes.min() >= 0 and found.boxes.max() <= 72


class Finder(nn.Module):
    """Finds two overlapping parts of class 1 and one of class 3 in an image of 2 x 3 pixels."""

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        soft = torch.tensor([[[1.0, 0.5, 0], [0, 0, 0]], [[0.2, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1]]])
        scores, labels = torch.tensor([0.8, 0.6, 0.1]), torch.tensor([1, 1, 3])
        return [{"boxes": torch.zeros(3, 4), "labels": labels, "scores": scores, "masks": soft[:, None]}]


def test_the_map_of_a_class_is_the_largest_score_times_mask_of_its_detections() -> None:
    small = Sample("a", np.zeros((2, 3), np.uint8))
    (found,) = predict(Finder(), [small], ["hole", "crack", "dent"], has_masks=True)
    assert found.maps is not None and found.maps.dtype == np.float32
    expected = np.zeros((3, 2, 3), np.float32)
    expected[0, 0, :2] = 0.8, 0.6
    expected[2, 1, 2] = 0.1
    assert found.maps == pytest.approx(expected)


@pytest.mark.parametrize("name", [name for name, detector in DETECTORS.items() if detector.has_masks])
def test_a_map_has_one_plane_of_probabilities_per_class_at_the_size_of_the_image(name: str) -> None:
    frame = Sample("a", np.random.default_rng(0).integers(0, 255, (75, 90), dtype=np.uint8))
    (found,) = predict(build_detector(3, tiny(name)), [frame], ["hole", "crack", "dent"], has_masks=True)
    assert found.maps is not None
    assert found.maps.shape == (3, 75, 90) and found.maps.dtype == np.float32
    assert found.maps.min() >= 0 and found.maps.max() <= 1


def test_without_turns_every_picture_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the paper; and with turns in several of its eight symmetries."""
    shown: list[int] = []

    def seen(image: Tensor, target: dict[str, Tensor], turn: int) -> tuple[Tensor, dict[str, Tensor]]:
        shown.append(turn)
        return turned(image, target, turn)

    monkeypatch.setattr(training, "turned", seen)
    for turns in (False, True):
        config, stream = tiny("segmenter", steps=6, turns=turns), Stream("all", 1.0, [bright_square("a")])
        assert len(list(train_detector(build_detector(1, config), [stream], ["hole"], config))) == 6
        assert len(shown) == 12
        assert len(set(shown)) > 3 if turns else set(shown) == {0}
        shown.clear()
