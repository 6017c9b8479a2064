"""The detector: targets from samples, the network's shape, reproducible training, and the comparison of arms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v3_large
from torchvision.ops import FrozenBatchNorm2d, masks_to_boxes

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.mask_rcnn import build_mask_rcnn
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.detectors.training import predict, train_detector, turned
from anomaly_gan.evaluation.comparison import ArmProgress, DetectorComparison, compare_detectors
from anomaly_gan.metrics.detection import detection_scores
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, NotFoundError

TINY = DetectorConfig(
    steps=2,
    batch_size=2,
    warmup_steps=1,
    rpn_proposals=16,
    rpn_samples=16,
    box_samples=8,
    anchor_sizes_px=(8, 16, 32, 48, 64),
)


def square(key: str, top: int = 10, left: int = 12, side: int = 16, size: int = 64) -> Sample:
    image = np.random.default_rng(top).integers(70, 90, (size, size), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return Sample(key, image + mask * np.uint8(120), {"hole": mask})


def test_every_part_of_a_mask_is_an_instance_with_an_inclusive_box() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:5, 3:9] = 1
    mask[10:12, 20:30] = 1
    found = to_instances(Sample("a", np.zeros((20, 30), np.uint8), {"crack": mask}), ["hole", "crack"])
    assert found.boxes.tolist() == [[3, 2, 9, 5], [20, 10, 30, 12]]
    assert found.labels.tolist() == [2, 2]
    assert found.masks.sum(axis=(1, 2)).tolist() == [18, 20]


def test_parts_that_touch_at_a_corner_are_one_instance_and_specks_are_none() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:4, 2:4] = mask[4:6, 4:6] = 1
    mask[15, 15:18] = 1
    found = to_instances(Sample("a", np.zeros((20, 20), np.uint8), {"hole": mask}), ["hole"])
    assert found.boxes.tolist() == [[2, 2, 6, 6]]


def test_named_instances_go_before_connected_parts() -> None:
    mask = np.ones((8, 8), np.uint8)
    numbers = np.ones((8, 8), np.uint16)
    numbers[:, 4:] = 2
    sample = Sample("a", np.zeros((8, 8), np.uint8), {"hole": mask}, {"hole": numbers})
    assert to_instances(sample, ["hole"]).boxes.tolist() == [[0, 0, 4, 8], [4, 0, 8, 8]]


def test_a_normal_image_is_a_target_without_instances() -> None:
    target = to_target(to_instances(Sample("n", np.zeros((8, 12, 3), np.uint8)), ["hole"]))
    assert [tuple(target[key].shape) for key in ("boxes", "labels", "masks")] == [(0, 4), (0,), (0, 8, 12)]


def test_the_image_of_a_target_is_in_zero_to_one() -> None:
    image = to_image(Sample("a", np.full((8, 12), 255, np.uint8)))
    assert image.shape == (3, 8, 12)
    assert image.dtype == torch.float32
    assert image.max() == 1


@pytest.mark.parametrize("turn", range(8))
def test_turned_boxes_fit_the_turned_masks(turn: int) -> None:
    wide = square("a")
    sample = Sample("a", wide.image[:40], {"hole": wide.masks["hole"][:40]})
    image, target = turned(to_image(sample), to_target(to_instances(sample, ["hole"])), turn)
    boxes = masks_to_boxes(target["masks"])
    boxes[:, 2:] += 1
    assert torch.equal(target["boxes"], boxes)
    assert image.shape[1:] == target["masks"].shape[1:]
    assert image[0][target["masks"][0] > 0].min() > image[0][target["masks"][0] == 0].max()


def test_the_eight_turns_are_all_different() -> None:
    image, target = torch.arange(12.0).reshape(1, 3, 4), to_target(to_instances(square("a"), ["hole"]))
    views = {tuple(turned(image, target, turn)[0].flatten().tolist()) for turn in range(8)}
    assert len(views) == 8


@pytest.mark.parametrize("backbone", ["mobilenet_v3_large_fpn", "resnet50_fpn"])
def test_predictions_have_the_size_of_the_image_and_known_labels(backbone: str) -> None:
    config = DetectorConfig.model_validate({**TINY.model_dump(), "backbone": backbone})
    model = build_mask_rcnn(2, config)
    (found,) = predict(model, [square("a", size=72)])
    assert found.masks.shape[1:] == (72, 72)
    assert len(found.boxes) == len(found.labels) == len(found.scores) == len(found.masks)
    assert set(found.labels.tolist()) <= {1, 2}


@pytest.mark.parametrize("training", [True, False])
def test_the_network_sees_the_view_at_its_own_size(training: bool) -> None:
    model = build_mask_rcnn(1, TINY).train(training)
    target = to_target(to_instances(square("a"), ["hole"]))
    images, _ = model.get_submodule("transform")([to_image(square("a"))], [target])
    assert images.tensors.shape == (1, 3, 64, 64)


def test_the_seed_decides_the_first_weights_and_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    first, again = build_mask_rcnn(1, TINY).state_dict(), build_mask_rcnn(1, TINY).state_dict()
    other = build_mask_rcnn(1, TINY.model_copy(update={"seed": 1})).state_dict()
    name = "roi_heads.box_head.fc6.weight"
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_backbone_weights_come_from_the_weights_folder_or_the_missing_file_is_named(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"weights": "file"})
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth, and no weights folder"):
        build_mask_rcnn(1, config)
    with pytest.raises(NotFoundError, match=r"mobilenet_v3_large\.pth: no such weights file"):
        build_mask_rcnn(1, config, tmp_path)
    state = mobilenet_v3_large(weights=None).state_dict()
    torch.save(state, tmp_path / "mobilenet_v3_large.pth")
    model = build_mask_rcnn(1, config, tmp_path)
    assert torch.equal(model.state_dict()["backbone.body.0.0.weight"], state["features.0.0.weight"])
    assert any(isinstance(module, FrozenBatchNorm2d) for module in model.modules())


def test_training_is_reproducible_also_with_normal_images() -> None:
    samples = [square("a"), square("b", top=30, left=20), Sample("n", np.full((64, 64), 80, np.uint8))]
    config = TINY.model_copy(update={"steps": 4})
    first, again = (
        [report.loss for report in train_detector(build_mask_rcnn(1, config), samples, ["hole"], config)]
        for _ in range(2)
    )
    assert first == again
    assert len(first) == 4


@pytest.mark.slow
def test_a_detector_learns_to_find_bright_squares() -> None:
    train = [square(f"{i}", top=4 + 8 * i, left=40 - 7 * i) for i in range(5)]
    test = [square("t", top=24, left=14), square("u", top=8, left=30)]
    config = TINY.model_copy(
        update={
            "steps": 60,
            "learning_rate": 1e-3,
            "warmup_steps": 10,
            "box_samples": 32,
            "rpn_proposals": 64,
        }
    )
    model = build_mask_rcnn(1, config)
    losses = [report.loss for report in train_detector(model, train, ["hole"], config)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    found = list(predict(model, test))
    assert detection_scores(found, [to_instances(each, ["hole"]) for each in test], ["hole"]).mask_ap50 > 0.7


def test_training_without_samples_is_refused() -> None:
    with pytest.raises(DataError, match="no training images"):
        next(train_detector(build_mask_rcnn(1, TINY), [], ["hole"], TINY))


def test_both_arms_run_the_same_steps_and_end_with_their_scores_and_counts() -> None:
    steps = list(
        compare_detectors(
            real_train=[square("a")],
            generated=[square("b", top=30), square("c", left=40)],
            real_test=[square("d", top=20)],
            classes=["hole"],
            config=TINY,
        )
    )
    progress = [(each.arm, each.step) for each in steps[:-1] if isinstance(each, ArmProgress)]
    assert progress == [("real", 1), ("real", 2), ("real+generated", 1), ("real+generated", 2)]
    result = steps[-1]
    assert isinstance(result, DetectorComparison)
    assert (result.real.real_images, result.real.generated_images) == (1, 0)
    assert (result.real_and_generated.real_images, result.real_and_generated.generated_images) == (1, 2)
    assert result.real.images_shown == result.real_and_generated.images_shown == 4
    assert result.real.scores.instances == 1
    assert DetectorComparison.model_validate_json(result.model_dump_json()) == result


def test_a_comparison_names_the_set_that_has_no_anomaly() -> None:
    normal = Sample("n", np.full((64, 64), 80, np.uint8))
    with pytest.raises(DataError, match="the 1 real test images have no anomaly of hole"):
        next(
            compare_detectors(
                real_train=[square("a")],
                generated=[square("b")],
                real_test=[normal],
                classes=["hole"],
                config=TINY,
            )
        )
