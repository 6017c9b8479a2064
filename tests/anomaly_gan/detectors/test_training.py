"""Training and prediction, the same for every listed detector."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import masks_to_boxes

from anomaly_gan.detectors import training
from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.detectors import DETECTORS, find_detector
from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.detectors.training import predict, train_detector, turned
from anomaly_gan.metrics.detection import Detections
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
    """The others need more than these 60 steps; `test_overfit.py` has all but RetinaNet."""
    train = [bright_square(f"{i}", top=4 + 8 * i, left=40 - 7 * i) for i in range(5)]
    test = [bright_square("t", top=24, left=14), bright_square("u", top=8, left=30)]
    config = tiny(name, steps=60, learning_rate=1e-3, warmup_steps=10, box_samples=32, rpn_proposals=64)
    model = build_detector(1, config)
    losses = [report.loss for report in train_detector(model, [Stream("all", 1.0, train)], ["hole"], config)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    found = list(predict(model, test, ["hole"], has_masks=find_detector(name).has_masks))
    scores = detection_scores(found, [to_instances(each, ["hole"]) for each in test], ["hole"])
    assert (scores.box_ap50 if scores.mask_ap50 is None else scores.mask_ap50) > 0.7


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


class Learner:
    """Stands for what a detector finds at each look.

    Attributes:
        found: key of a picture -> probability of all pixels of its anomaly.
        asked: keys of the pictures of each look.
    """

    def __init__(self, **found: float) -> None:
        self.found = found
        self.asked: list[list[str]] = []

    def predict(self, model: nn.Module, samples: Sequence[Sample], *_: Any, **__: Any) -> Iterator[Detections]:
        model.eval()
        self.asked.append([sample.key for sample in samples])
        for sample in samples:
            maps = np.full((1, *sample.image.shape), self.found.get(sample.key, 1.0), np.float32)
            none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), None, np.zeros(0, np.float32)
            yield Detections(*none, maps)


def shown_keys(monkeypatch: pytest.MonkeyPatch, streams: Sequence[Stream], steps: int = 40) -> list[str]:
    """What a segmenter is shown, picture by picture."""
    shown: list[str] = []
    keys = {one.image.tobytes(): one.key for stream in streams for one in stream.samples}

    def seen(sample: Sample) -> Tensor:
        shown.append(keys[sample.image.tobytes()])
        return to_image(sample)

    with monkeypatch.context() as patch:
        patch.setattr(training, "to_image", seen)
        patch.setattr(training, "_step", lambda *_: 0.0)  # what is shown is all that is looked at here
        config = tiny("segmenter", steps=steps, batch_size=4, turns=False)
        model = build_detector(1, config)
        assert len(list(train_detector(model, streams, ["hole"], config))) == steps
        assert model.training
    return shown


def added(*, adapts: bool) -> list[Stream]:
    """Real pictures, and four added ones that may be shown by what is missed."""
    made = [bright_square(f"g{i}", top=4 + 6 * i) for i in range(4)]
    real = [bright_square(f"r{i}", left=30, top=10 + i) for i in range(3)]
    return [Stream("real", 0.5, real), Stream("generated", 0.5, made, adapts)]


def test_added_pictures_of_which_more_is_missed_are_shown_more_often_after_each_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = Learner(g2=0.0)
    monkeypatch.setattr(training, "predict", learner.predict)
    shown = shown_keys(monkeypatch, added(adapts=True))
    assert learner.asked == [["g0", "g1", "g2", "g3"]] * 3
    before, after = (Counter(key for key in part if key[0] == "g") for part in (shown[:40], shown[40:]))
    assert set(before.values()) == {5}
    # of 60 pictures half are shown evenly, and half are the one that is missed wholly
    assert after["g2"] == pytest.approx(60 * (1 / 8 + 1 / 2), abs=3)
    assert min(after[f"g{i}"] for i in range(4)) >= 6


def test_real_pictures_are_shown_alike_whether_others_adapt_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "predict", Learner(g0=0.0).predict)
    adapting, even = (shown_keys(monkeypatch, added(adapts=adapts)) for adapts in (True, False))
    assert [key for key in adapting if key[0] == "r"] == [key for key in even if key[0] == "r"]
    assert adapting[:40] == even[:40] and adapting != even


def test_a_large_stream_is_asked_in_part_and_the_rest_counts_as_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(g0=0.0, g1=0.0, g2=0.0, g3=0.0)
    monkeypatch.setattr(training, "predict", learner.predict)
    monkeypatch.setattr(training, "MOST_ASKED", 2)
    shown = shown_keys(monkeypatch, added(adapts=True))
    assert [len(keys) for keys in learner.asked] == [2, 2, 2] and len(
        {key for look in learner.asked for key in look}
    ) > 2
    assert set(Counter(key for key in shown if key[0] == "g").values()) == {20}


@EVERY_DETECTOR
def test_any_detector_says_what_it_misses_and_goes_on_reproducibly(name: str) -> None:
    config = tiny(name)
    first, again = (
        [one.loss for one in train_detector(build_detector(1, config), added(adapts=True), ["hole"], config)]
        for _ in range(2)
    )
    assert len(first) == 2 and first == again
