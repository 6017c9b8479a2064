"""The ResNet generators against the layout of the released weights, as tests/support/builders_release.py has it."""

import pytest
import torch

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.generator import ResNetGenerator, make_generator
from tests.support.builders_release import release_output, release_sample, release_shapes, release_state

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("resnet9", "resunet")


def released(kind: str, **changes: object) -> ModelConfig:
    fixed = {"generator": kind, "generator_norm": "batch", "upsample": "transposed", "blend": False, "gray": False}
    return ModelConfig.model_validate(fixed | {"noise_planes": 0, "content": "image"} | changes)


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_have_the_released_size_whatever_the_upsampling(kind: str, upsample: str) -> None:
    with torch.device("meta"):
        generator = make_generator(released(kind, upsample=upsample))
    assert sum(parameter.numel() for parameter in generator.parameters()) == 11_391_811
    assert len(generator.state_dict()) == 163


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_dict_has_the_released_names_and_shapes(kind: str) -> None:
    with torch.device("meta"):
        state = make_generator(released(kind)).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == release_shapes()
    assert len(release_shapes()) == 163
    assert next(iter(state)) == "model.1.weight" and list(state)[-1] == "model.26.bias"
    assert "model.10.conv_block.1.weight" in state


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_comes_out_as_the_layout_computes_it(kind: str) -> None:
    generator, state = make_generator(released(kind)).eval(), release_state()
    generator.load_state_dict(state)
    image, mask = release_sample()
    with torch.no_grad():
        found, expected = generator(image, mask), release_output(state, image, mask, skips=kind == "resunet")
    assert 0.1 < expected.std() < 0.5
    assert torch.allclose(found, expected, atol=1e-5)


def test_resnet_width_scales_every_layer() -> None:
    with torch.device("meta"):
        narrow = make_generator(released("resnet9", resnet_width=8))
    assert isinstance(narrow, ResNetGenerator)
    found = {name: tuple(tensor.shape) for name, tensor in narrow.state_dict().items()}
    kept = {3, 4, 7}  # planes in and out, and sides of kernels
    assert found == {
        name: tuple(side if side in kept else side // 8 for side in shape) for name, shape in release_shapes().items()
    }
