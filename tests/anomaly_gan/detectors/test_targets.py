"""Targets from samples: instances, boxes, and their turns."""

import numpy as np
import torch

from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.samples.sample import Sample


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
