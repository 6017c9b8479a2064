"""Perceptual distances: against the packages' own, what a shift changes, availability, provenance."""

import warnings
from dataclasses import replace
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.metrics.perceptual import (
    PerceptualNetwork,
    Unavailable,
    distances,
    load_lpips,
    load_shift_tolerant,
)
from anomaly_gan.networks.weights import WEIGHTS
from infra.errors import DataError

SHAPES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


def write_trunk(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for layer, shape in SHAPES.items():
        state[f"features.{layer}.weight"] = torch.randn(shape, generator=generator) * 0.05
        state[f"features.{layer}.bias"] = torch.zeros(shape[0])
    path = folder / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def shift_tolerant() -> PerceptualNetwork:
    return load_shift_tolerant()


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> PerceptualNetwork:
    folder = tmp_path_factory.mktemp("weights")
    write_trunk(folder)
    loaded = load_lpips(folder)
    assert isinstance(loaded, PerceptualNetwork)
    return loaded


def ramp() -> NDArray[np.uint8]:
    """[64, 64, 3], the same on every machine."""
    rows, columns = np.mgrid[:64, :64]
    return np.stack([rows * 4, columns * 4, (rows * columns) // 16 % 256], axis=2).astype(np.uint8)


def noise(count: int, *shape: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def test_the_shift_tolerant_distance_is_that_of_its_authors(shift_tolerant: PerceptualNetwork) -> None:
    """Figures of stlpips-pytorch 0.0.2, net="alex", variant="shift_tolerant"."""
    pictures = [ramp(), ramp()[::-1].copy(), np.roll(ramp(), 2, axis=1), *noise(1, 64, 64, 3)]
    found = distances(shift_tolerant.of(pictures[:1]), shift_tolerant.of(pictures))
    np.testing.assert_allclose(found, [[0, 0.579983, 0.072621, 1.124975]], atol=1e-5)
    assert shift_tolerant.name == "shift-tolerant AlexNet b356b382"


def test_lpips_is_that_of_its_package(alexnet: PerceptualNetwork, tmp_path: Path) -> None:
    state = torch.load(write_trunk(tmp_path), weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        package = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    package.net.load_state_dict({key: state[f"features.{key.split('.', 1)[1]}"] for key in package.net.state_dict()})
    first, second = noise(2, 64, 64, 3)
    planes = [torch.from_numpy(one).permute(2, 0, 1)[None] / 127.5 - 1 for one in (first, second)]
    with torch.inference_mode():
        expected = float(package(*planes))
    assert expected > 0.001
    assert distances(alexnet.of([first]), alexnet.of([second]))[0, 0] == pytest.approx(expected, rel=1e-3)


def test_a_picture_is_at_distance_zero_from_itself_and_near_its_shifted_copy(
    shift_tolerant: PerceptualNetwork,
) -> None:
    wide = noise(1, 12, 12)[0].repeat(8, axis=0).repeat(8, axis=1)
    own, shifted, other = wide[8:72, 8:72], wide[8:72, 9:73], wide[::-1][8:72, 8:72]
    [row] = distances(shift_tolerant.of([own]), shift_tolerant.of([own, shifted, other]))
    assert row[0] == pytest.approx(0, abs=1e-5)
    assert row[1] < row[2] / 5


def test_pictures_of_any_size_in_grey_or_colour_are_compared(shift_tolerant: PerceptualNetwork) -> None:
    grey = noise(1, 40, 40)[0]
    found = shift_tolerant.of([grey, np.stack([grey] * 3, axis=2), *noise(1, 200, 90)])
    assert found.shape[0] == 3 and found.dtype == np.float32
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_another_file_than_the_package_ships_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.pth"
    path.write_bytes(b"no state dict, and never read")
    monkeypatch.setitem(WEIGHTS, "shift_tolerant", replace(WEIGHTS["shift_tolerant"], file=str(path)))
    with pytest.raises(DataError, match=r"other\.pth: is not the file that stlpips-pytorch ships \(sha256 "):
        load_shift_tolerant()


def test_without_a_weights_folder_lpips_is_unavailable_and_names_the_file() -> None:
    loaded = load_lpips(None)
    assert isinstance(loaded, Unavailable)
    assert "alexnet.pth" in loaded.reason


def test_without_the_file_lpips_is_unavailable_and_names_its_path(tmp_path: Path) -> None:
    loaded = load_lpips(tmp_path)
    assert isinstance(loaded, Unavailable)
    assert str(tmp_path / "alexnet.pth") in loaded.reason


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "alexnet.pth")
    with pytest.raises(DataError, match=r"alexnet\.pth: features\.0\.weight has shape"):
        load_lpips(tmp_path)


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alexnet.pth").write_bytes(b"not a state dict")
    with pytest.raises(DataError, match=r"alexnet\.pth: not a readable state dict"):
        load_lpips(tmp_path)


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    write_trunk(tmp_path)
    before = torch.random.get_rng_state()
    load_lpips(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
