"""LPIPS from a weights file the test makes: availability, provenance, known relations, pair choice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anomaly_gan.metrics.perceptual import LpipsModel, Unavailable, ic_lpips, load_lpips, lpips_real
from infra.errors import DataError

SHAPES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}


def write_backbone(folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for layer, shape in SHAPES.items():
        state[f"features.{layer}.weight"] = torch.randn(shape, generator=generator) * 0.05
        state[f"features.{layer}.bias"] = torch.zeros(shape[0])
    path = folder / "alexnet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LpipsModel:
    folder = tmp_path_factory.mktemp("weights")
    write_backbone(folder)
    loaded = load_lpips(folder)
    assert isinstance(loaded, LpipsModel)
    return loaded


def pictures(count: int, seed: int = 0) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (48, 64), dtype=np.uint8) for _ in range(count)]


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


def test_the_backbone_is_that_of_the_file(model: LpipsModel, tmp_path: Path) -> None:
    state = torch.load(write_backbone(tmp_path), weights_only=True)
    loaded = model.network.state_dict()
    for key in ("net.slice1.0.weight", "net.slice2.3.weight", "net.slice5.10.bias"):
        assert torch.equal(loaded[key], state[f"features.{key.split('.', 2)[2]}"])


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    write_backbone(tmp_path)
    before = torch.random.get_rng_state()
    load_lpips(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_equal_images_are_at_distance_zero_and_different_ones_are_not(model: LpipsModel) -> None:
    first, second = pictures(2)
    assert lpips_real(model, [first], [first], seed=0).value == pytest.approx(0, abs=1e-6)
    different = lpips_real(model, [first], [second], seed=0).value
    assert different is not None and different > 0.001
    assert ic_lpips(model, [first, first.copy()], seed=0).value == pytest.approx(0, abs=1e-6)


def test_scores_carry_their_counts_and_network(model: LpipsModel) -> None:
    score = lpips_real(model, pictures(3), pictures(2, seed=1), seed=0)
    assert (score.measure, score.pairs, score.generated, score.real) == ("lpips_real", 6, 3, 2)
    assert score.network.startswith("AlexNet ")
    among = ic_lpips(model, pictures(4), seed=0)
    assert (among.measure, among.pairs, among.generated, among.real) == ("ic_lpips", 6, 4, 0)


def test_pairs_above_the_limit_are_drawn_by_the_seed(model: LpipsModel) -> None:
    def value(seed: int) -> float | None:
        return ic_lpips(model, pictures(6), seed=seed, max_pairs=3).value

    assert ic_lpips(model, pictures(6), seed=0, max_pairs=3).pairs == 3
    assert value(0) == value(0)
    assert value(0) != value(1)


def test_one_generated_image_has_no_diversity_to_measure(model: LpipsModel) -> None:
    score = ic_lpips(model, pictures(1), seed=0)
    assert (score.value, score.pairs) == (None, 0)


def test_images_of_different_sizes_are_refused(model: LpipsModel) -> None:
    with pytest.raises(DataError, match="images of one size"):
        lpips_real(model, [np.zeros((48, 64), np.uint8)], [np.zeros((64, 48), np.uint8)], seed=0)
