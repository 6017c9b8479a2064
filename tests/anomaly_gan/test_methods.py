"""The list of methods, and what loop, checkpoint, watches and previews ask of any of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from anomaly_gan.config import TrainConfig
from anomaly_gan.evaluation.preview import Previewer
from anomaly_gan.methods import METHODS, MethodEntry, build_method, estimate_memory, find_method
from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.generator import Generator, build_generator
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.checkpoint import gather_image_pools, restore, save
from anomaly_gan.training.image_pool import ImagePool
from anomaly_gan.training.joining import Wrap
from anomaly_gan.training.loop import run
from anomaly_gan.training.method import Method, Watched
from anomaly_gan.training.selection import Selection
from infra.errors import UsageError
from tests.support.builders import (
    CPU,
    NarrowAware,
    batch_source,
    equal_states,
    generation_plan,
    train_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class Painter(Method):
    """A toy: a generator that learns to paint the mask in the abnormal images' mean grey."""

    terms: ClassVar = {"paint": "squared distance from the mean of the abnormal images, within the mask"}
    charts: ClassVar = {"paint": ("paint",)}
    saved: ClassVar = ("net", "optim")

    config: TrainConfig
    device: torch.device
    net: Generator
    optim: torch.optim.Optimizer
    step: int = 0
    image_pools: dict[str, ImagePool] = field(default_factory=dict)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        image, mask = batch.normal_image.float() / 127.5 - 1, (batch.expert_mask > 0).float()
        wanted = batch.abnormal_image.float().mean() / 127.5 - 1
        paint = ((self.net(image, mask) - wanted) * mask).square().mean()
        self.optim.zero_grad()
        paint.backward()
        self.optim.step()
        return {"paint": paint.detach()}

    @property
    def generator(self) -> Generator:
        return self.net.eval()

    @property
    def learning_rates(self) -> Mapping[torch.optim.Optimizer, float]:
        return {self.optim: 0.01}

    @property
    def watched(self) -> Watched:
        return Watched({}, ())


def build_painter(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap
) -> Painter:
    torch.manual_seed(config.seed)
    net = build_generator(config.model).to(device)
    return Painter(config, device, net, torch.optim.SGD(net.parameters(), 0.01, momentum=0.9))


@pytest.fixture(autouse=True)
def painter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method of one line in the list, beside those that are there."""
    monkeypatch.setitem(METHODS, "painter", MethodEntry(Painter, build_painter))


ALL = (*METHODS, "painter")


def config(name: str, **changes: Any) -> TrainConfig:
    defaults: dict[str, Any] = {"model": {"resnet_width": 4}}
    for key, value in METHODS[name].defaults.items():
        section, _, knob = key.partition(".")
        defaults.setdefault(section, {})[knob] = value
    return train_config(**(defaults | {"method": name, "image_pool": 1} | changes))


def method(name: str, **changes: Any) -> Method:
    return build_method(config(name, **changes), 64, NarrowAware(), CPU)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"train.method: unknown method, got 'magic'; use one of anomaly_gan, cyclegan"
    ):
        find_method("magic")


@pytest.mark.parametrize("name", ALL)
def test_a_step_returns_the_terms_that_the_method_names_and_the_charts_draw_some_of_them(name: str) -> None:
    made = method(name)
    assert made.train_step(batch_source().batch(0)).keys() == made.terms.keys()
    assert isinstance(made, find_method(name).form)
    assert {term for terms in made.charts.values() for term in terms} <= made.terms.keys()
    assert {*made.watched.undecided, *made.watched.norms} <= made.terms.keys()


@pytest.mark.parametrize("name", ALL)
def test_a_run_that_is_stopped_and_resumed_equals_one_that_is_not_bit_for_bit(name: str, tmp_path: Path) -> None:
    straight, first, second = (method(name, checkpoint_every_steps=2) for _ in range(3))
    source = batch_source()
    losses = [report.losses for report in run(straight, source)]
    for report in run(first, source):
        if report.step == 2:
            save(first, gather_image_pools(first), tmp_path / "checkpoint.pt")
            break
    restore(second, tmp_path / "checkpoint.pt", "checkpoint")
    assert [report.losses for report in run(second, source)] == losses[2:]
    assert len(losses) == 4 and losses[-1].keys() == straight.terms.keys()
    assert equal_states(straight.state_dict(), second.state_dict())


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("best", [1, 3])
def test_a_resumed_run_of_any_method_publishes_what_one_that_is_not_stopped_does(
    name: str, best: int, tmp_path: Path
) -> None:
    source, straight, resumed = batch_source(), Selection(), Selection()

    def see(selection: Selection, made: Method, last: int) -> None:
        for report in run(made, source):
            value = 0.1 if report.step == best else 0.5
            selection.see(report.step, HalvedDistance(value, (value, value)), {}, made.generator)
            if report.step == last:
                save(made, gather_image_pools(made), tmp_path / "checkpoint.pt", selection.state_dict())
                break

    see(straight, method(name), 4)
    see(Selection(), method(name), 2)
    second = method(name)
    resumed.load_state_dict(restore(second, tmp_path / "checkpoint.pt", "checkpoint"))
    see(resumed, second, 4)
    assert straight.chosen is not None and straight.chosen.step == best
    assert equal_states(straight.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("name", ALL)
def test_the_loop_lowers_the_learning_rates_of_any_method(name: str) -> None:
    made = method(name, optim={"decay_start": 0.0})
    rates = [
        {group["lr"] for optimizer in made.learning_rates for group in optimizer.param_groups}
        for _ in run(made, batch_source())
    ]
    assert max(rates[0]) > max(rates[-1]) > 0
    assert rates[0] == set(made.learning_rates.values())


@pytest.mark.parametrize("name", ALL)
def test_what_a_method_takes_is_estimated_without_computing(name: str) -> None:
    estimate = estimate_memory(config(name), 64)
    weights = sum(parameter.nbytes for parameter in method(name).generator.parameters())
    assert estimate.peak > estimate.resting > weights


@pytest.mark.parametrize("name", ALL)
def test_a_generator_of_any_method_is_previewed(name: str) -> None:
    made = method(name)
    previewer = Previewer(generation_plan(), batch_source(), NarrowAware(), made.config.crop, 2)
    assert {"mask_hit", "crop_kid"} <= previewer.draw(made.generator).measures.keys()
