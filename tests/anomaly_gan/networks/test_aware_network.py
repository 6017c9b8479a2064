"""The aware network: VGG-16's first seven convolutions, their taps, and weights from elsewhere."""

import pytest
import torch
from torch import Tensor

from anomaly_gan.networks.aware import IMAGENET_MEAN, IMAGENET_STD, AwareNetwork, load_vgg16
from infra.errors import DataError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_it_has_the_size_of_vgg_16_up_to_conv3_3() -> None:
    assert sum(parameter.numel() for parameter in AwareNetwork().parameters()) == 1_735_488


def test_under_bfloat16_its_taps_stay_near_those_of_full_precision_and_gradients_float32() -> None:
    network = AwareNetwork().frozen()
    crops = torch.rand(2, 3, 64, 64, requires_grad=True)
    full = network(crops)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(crops)
    for one, other in zip(half, full, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 0.03 * other.abs().max()
    sum(tap.float().mean() for tap in half).backward()
    assert crops.grad is not None and crops.grad.dtype == torch.float32 and crops.grad.abs().sum() > 0


def test_channels_last_changes_nothing() -> None:
    network, crops = AwareNetwork().frozen(), torch.rand(2, 3, 64, 64)
    expected = network(crops)
    network.to(memory_format=torch.channels_last)
    for one, other in zip(network(crops.to(memory_format=torch.channels_last)), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_taps_are_those_of_the_papers_fig_6_and_frozen_weights_let_gradients_through() -> None:
    network = AwareNetwork().frozen()
    crops = torch.rand(2, 3, 64, 64, requires_grad=True)
    taps = network(crops)
    assert [tuple(tap.shape) for tap in taps] == [(2, 64, 64, 64), (2, 256, 16, 16), (2, 256, 16, 16)]
    assert all((tap >= 0).all() for tap in taps)
    sum(tap.mean() for tap in taps).backward()
    assert crops.grad is not None and crops.grad.abs().sum() > 0
    assert not network.training and all(parameter.grad is None for parameter in network.parameters())


def vgg16_state() -> dict[str, Tensor]:
    """The names and shapes of torchvision's VGG-16, as far as the aware network reaches, and a layer beyond it."""
    torch.manual_seed(0)
    widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
    state = {"classifier.6.bias": torch.zeros(1000)}
    for number, (before, after) in widths.items():
        state[f"features.{number}.weight"] = torch.randn(after, before, 3, 3) * 0.05
        state[f"features.{number}.bias"] = torch.randn(after) * 0.1
    return state


def test_the_state_of_torchvisions_vgg_16_is_named_and_shaped_as_ours() -> None:
    from torchvision.models import vgg16

    with torch.device("meta"):
        theirs = vgg16(weights=None).state_dict()
    assert {key: theirs[key].shape for key in AwareNetwork().state_dict()} == {
        key: tensor.shape for key, tensor in vgg16_state().items() if key.startswith("features.")
    }


def test_loaded_vgg_16_taps_equal_torchvisions_layers_on_imagenet_normalised_crops() -> None:
    from torchvision.models import vgg16

    theirs = vgg16(weights=None).features[:16]
    network = load_vgg16({f"features.{key}": value for key, value in theirs.state_dict().items()}, "vgg")
    crops = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    features, wanted = (crops - mean) / std, []
    with torch.no_grad():
        for number, layer in enumerate(theirs):
            features = layer(features)
            wanted += [features.clone()] if number in (3, 11, 15) else []
        for tap, other in zip(network(crops * 2 - 1), wanted, strict=True):
            assert torch.allclose(tap, other, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_vgg_16_state_without_a_tensor_is_refused_by_its_name() -> None:
    state = vgg16_state()
    del state["features.7.bias"]
    with pytest.raises(DataError, match=r"^s3://w/vgg.pth: has no features\.7\.bias"):
        load_vgg16(state, "s3://w/vgg.pth")


def test_a_vgg_16_state_of_another_shape_is_refused_with_both_shapes() -> None:
    state = vgg16_state() | {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    wanted = r"^vgg.pth: features\.0\.weight has shape \(64, 1, 3, 3\), expected \(64, 3, 3, 3\)"
    with pytest.raises(DataError, match=wanted):
        load_vgg16(state, "vgg.pth")
