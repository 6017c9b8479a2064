"""The two conversions of the value range."""

import re

import pytest
import torch

from anomaly_gan.samples.tensors import to_model_range, to_uint8
from tests.support.helpers import ROOT


def test_every_grey_level_comes_back_as_itself() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_model_range(levels)), levels)


def test_the_model_range_spans_minus_one_to_one() -> None:
    assert to_model_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


@pytest.mark.parametrize(("level", "whole"), [(99.4, 99), (99.6, 100), (-3.0, 0), (258.0, 255)])
def test_what_lies_between_two_levels_is_rounded_and_what_lies_beyond_is_cut(level: float, whole: int) -> None:
    assert to_uint8(torch.tensor(level / 127.5 - 1)).item() == whole


CONVERSION = re.compile(r"127\.5|[/*] \(?255\b|(image|crop|pixels) \+ 1\) / 2|\* 2 - 1|to_pil_image|to_tensor|ToTensor")
OTHERS = {
    "anomaly_gan/formats/reading/depth.py": "16 bits become 8",
    "anomaly_gan/formats/reading/mask_pictures.py": "masks may have 16 bits",
    "anomaly_gan/networks/aware.py": "VGG-16 wants ImageNet's range",
    "anomaly_gan/detectors/targets.py": "the detectors want 0..1",
    "anomaly_gan/metrics/features/features.py": "each feature network has a range of its own",
    "anomaly_gan/generation/light.py": "exposure is a power of a share of white",
    "anomaly_gan/drawing/grids.py": "the picture of a change, as bright as can be",
    "anomaly_gan/render/anomalies.py": "a cover's opacity",
    "anomaly_gan/render/shapes.py": "a shadow's opacity",
}
"""What looks like a conversion to or from the networks' range and is another."""


def test_each_conversion_exists_once() -> None:
    sources = [path for name in ("anomaly_gan", "jobs", "cli") for path in (ROOT / name).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if CONVERSION.search(path.read_text())}
    assert found == {"anomaly_gan/samples/tensors.py", *OTHERS}
