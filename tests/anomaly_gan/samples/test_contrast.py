"""Contrast as a share of the way to black or white."""

import pytest
import torch

from anomaly_gan.samples.contrast import LEAST_WAY, contrast_to, laid_over


def levels(*values: float) -> torch.Tensor:
    return torch.tensor(values) / 127.5 - 1


def test_what_takes_the_same_share_of_the_light_has_the_same_contrast_at_any_level() -> None:
    assert contrast_to(levels(40, 20, 80), levels(120, 60, 240)).tolist() == pytest.approx([-2 / 3] * 3)
    assert contrast_to(levels(205, 155), levels(155, 55)).tolist() == pytest.approx([0.5] * 2)


def test_laid_over_other_surroundings_it_keeps_within_black_and_white() -> None:
    around = levels(0, 3, 60, 128, 250, 255)
    for share in (-1.0, -0.4, 0.0, 0.4, 1.0):
        laid = laid_over(around, torch.tensor(share))
        assert laid.min() >= -1 and laid.max() <= 1
        assert torch.allclose(laid_over(around, contrast_to(laid, around))[2:4], laid[2:4], atol=1e-6)


def test_next_to_black_and_white_noise_stays_small() -> None:
    assert contrast_to(levels(0, 255), levels(2, 253)).abs().max() <= 2 / 127.5 / LEAST_WAY + 1e-6
