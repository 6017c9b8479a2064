"""Files of the authors' release: taken over exactly, and everything else refused."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.generator import make_generator
from anomaly_gan.networks.released import load_released
from infra.errors import DataError
from tests.support.builders_release import (
    empty_release_state,
    release_file,
    release_output,
    release_sample,
    release_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")

EXPECTED = "; expected the state dict of pytorch-CycleGAN's ResNet generator: 4 input channels, 9 blocks, batch norm"


def refused(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        load_released(data, "net_G.pth")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_released_file_computes_what_its_layout_says() -> None:
    state = release_state()
    generator = load_released(release_file(state), "net_G.pth")
    assert not generator.training and not any(parameter.requires_grad for parameter in generator.parameters())
    image, mask = release_sample()
    expected = release_output(state, image, mask)
    assert 0.1 < expected.std() < 0.5
    assert torch.allclose(generator(image, mask), expected, atol=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        release_file(OrderedDict(empty_release_state())),
        release_file({f"module.{name}": tensor for name, tensor in empty_release_state().items()}),
        release_file({name: torch.nn.Parameter(t, t.is_floating_point()) for name, t in empty_release_state().items()}),
        release_file(empty_release_state(), _use_new_zipfile_serialization=False),
        release_file({name: t.half() if t.is_floating_point() else t for name, t in empty_release_state().items()}),
    ],
    ids=["ordered", "data parallel", "parameters", "old format", "half precision"],
)
def test_other_forms_of_the_same_state_are_taken(data: bytes) -> None:
    state = load_released(data, "net_G.pth").state_dict()
    assert len(state) == 163
    assert all(tensor.eq(1).all() and tensor.dtype in (torch.float32, torch.int64) for tensor in state.values())


class Marker:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "old format"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path: Path, options: dict[str, Any]) -> None:
    data = release_file(empty_release_state() | {"model.1.weight": Marker(tmp_path / "run")}, **options)
    assert refused(data) == (
        "net_G.pth: holds more than tensors, or is damaged; save it with torch.save(generator.state_dict(), FILE)"
    )
    assert not (tmp_path / "run").exists()


def test_a_whole_module_in_place_of_its_state_is_refused() -> None:
    assert refused(release_file(torch.nn.Linear(1, 1))).startswith("net_G.pth: holds more than tensors")


@pytest.mark.parametrize("data", [b"", b"no file of torch's", release_file(empty_release_state())[:-1000]])
def test_a_damaged_file_is_refused(data: bytes) -> None:
    assert refused(data).startswith("net_G.pth: holds more than tensors, or is damaged; save it")


@pytest.mark.parametrize(
    ("held", "found"),
    [
        ({"epoch": 3, "netG": {"model.1.weight": torch.zeros(1)}}, "keys epoch, netG"),
        ([torch.zeros(1)], "list"),
        (torch.zeros(1), "Tensor"),
    ],
)
def test_what_is_no_dict_of_tensors_is_refused_with_what_it_is(held: Any, found: str) -> None:
    assert refused(release_file(held)) == f"net_G.pth: is not a dict of tensors but has {found}{EXPECTED}"


def without(name: str) -> dict[str, Tensor]:
    state = empty_release_state()
    del state[name]
    return state


NAN = torch.ones(64)
NAN[3] = float("nan")


@pytest.mark.parametrize(
    ("state", "wrong"),
    [
        ({}, "has no model.1.weight"),
        (without("model.8.num_batches_tracked"), "has no model.8.num_batches_tracked"),
        (without("model.26.bias"), "has no model.26.bias"),
        (
            empty_release_state() | {"model.1.weight": torch.ones(1).expand(64, 3, 7, 7)},
            "model.1.weight has shape (64, 3, 7, 7), not (64, 4, 7, 7)",
        ),
        (
            empty_release_state() | {"model.28.weight": torch.ones(1)},
            "has model.28.weight, which does not belong there",
        ),
        (
            {f"module.{name}": tensor for name, tensor in empty_release_state().items()} | {"epoch": torch.tensor(3)},
            "has no model.1.weight",
        ),
        ({f"netG.{name}": tensor for name, tensor in empty_release_state().items()}, "has no model.1.weight"),
        *(
            (empty_release_state() | {"model.1.bias": bad}, "model.1.bias does not hold finite torch.float32 numbers")
            for bad in (NAN, torch.ones(64, dtype=torch.int64), torch.ones(64).to_sparse(), torch.ones(64).to("meta"))
        ),
        (
            empty_release_state() | {"model.2.num_batches_tracked": torch.tensor(0.5)},
            "model.2.num_batches_tracked does not hold finite torch.int64 numbers",
        ),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
def test_another_layout_is_refused_with_the_first_difference(state: dict[str, Tensor], wrong: str) -> None:
    assert refused(release_file(state)) == f"net_G.pth: {wrong}{EXPECTED}"


@pytest.mark.parametrize(
    "changes", [{"resnet_width": 8}, {"generator_norm": "instance"}, {"upsample": "resize"}], ids=str
)
def test_our_own_generators_of_another_layout_are_refused(changes: dict[str, Any]) -> None:
    config = ModelConfig.model_validate({"generator": "resnet9", "generator_norm": "batch"} | changes)
    assert refused(release_file(make_generator(config).state_dict())).endswith(EXPECTED)
