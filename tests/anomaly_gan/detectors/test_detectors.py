"""The list of detectors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import DETECTORS, Detector
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.evaluation.comparison import compare_arms
from anomaly_gan.evaluation.material import Material
from anomaly_gan.reports.data import ReportData
from anomaly_gan.reports.evaluation import render_report
from anomaly_gan.samples.sample import Sample
from infra.errors import UsageError
from tests.support.builders_detectors import bright_square, tiny


def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    known = ", ".join(DETECTORS)
    with pytest.raises(UsageError, match=rf"^detector\.name: unknown detector, got 'yolo'; use one of {known}$"):
        build_detector(1, tiny("yolo"))


@pytest.mark.parametrize("name", DETECTORS)
def test_the_seed_decides_the_first_weights_and_leaves_the_global_random_state_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    first, again = build_detector(1, tiny(name)).state_dict(), build_detector(1, tiny(name)).state_dict()
    other = build_detector(1, tiny(name, seed=1)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = [key for key in first if first[key].ndim == 4]
    assert drawn and not any(torch.equal(first[key], other[key]) for key in drawn)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_defaults_of_a_detector_are_knobs_in_their_bounds(name: str) -> None:
    DetectorConfig.model_validate({"name": name, **DETECTORS[name].defaults})


CLASSES = ["hole", "crack"]
NORMAL = Sample("n", np.random.default_rng(0).integers(70, 90, (64, 96), dtype=np.uint8))


def losses(name: str, *samples: Sample) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The model, and what it loses on a batch of pictures, with gradients."""
    model = build_detector(len(CLASSES), tiny(name))
    torch.manual_seed(0)
    targets = [to_target(to_instances(sample, CLASSES)) for sample in samples]
    terms: dict[str, torch.Tensor] = model([to_image(sample) for sample in samples], targets)
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    return model, terms


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shown", [(bright_square("a"), NORMAL), (NORMAL, NORMAL)], ids=["mixed", "normal"])
def test_losses_are_finite_for_normal_pictures_and_pictures_of_several_sizes(
    name: str, shown: tuple[Sample, ...]
) -> None:
    model, terms = losses(name, *shown)
    assert all(term.isfinite() and term >= 0 for term in terms.values())
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("name", DETECTORS)
def test_a_step_reaches_every_parameter(name: str) -> None:
    """But for the pyramid's outputs at coarse levels, where heads look for boxes of 112 px and more."""
    crack = bright_square("b", top=30, side=24)
    model, _ = losses(name, bright_square("a"), Sample("b", crack.image, {"crack": crack.masks["hole"]}))
    unreached = [key for key, each in model.named_parameters() if each.grad is None or not each.grad.any()]
    assert [key for key in unreached if not key.startswith("backbone.fpn.layer_blocks.")] == []


class ToyDetector(nn.Module):
    """Finds one box in the middle of every image, with a score that it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(()))

    def forward(
        self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None
    ) -> list[dict[str, torch.Tensor]] | dict[str, torch.Tensor]:
        if targets is not None:
            return {"loss": 1 - self.score.sigmoid()}
        middle = torch.tensor([[16.0, 16.0, 48.0, 48.0]])
        return [{"boxes": middle, "labels": torch.ones(1).long(), "scores": self.score[None]} for _ in images]


def build_toy(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    return ToyDetector()


def test_a_toy_detector_is_added_through_the_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "toy", Detector("Toy", f"{__name__}:build_toy", has_masks=False))
    shown = Material(
        normals=[Sample("n", np.full((64, 64), 80, np.uint8))],
        real=[bright_square("a")],
        added={},
        test=[bright_square("c", top=16, left=16, side=32)],
        groups=["p"],
        classes=("hole",),
    )
    result = compare_arms(["none"], 1, shown, tiny("toy", steps=3))
    [cell] = result.cells
    assert cell.losses[0] > cell.losses[-1]
    assert (cell.scores.box_ap, cell.scores.mask_ap, cell.scores.miou, cell.pixels) == (1, None, None, None)
    assert "<p><b>Toy</b> (" in render_report(ReportData("toys", {}, detectors=[result]))
