"""Features in the plane: what is alike lies together, and the picture is the same every time."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics.embedding import embed
from infra.errors import DataError, NotFoundError


def two_clusters(each: int = 30) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, (each, 40)), rng.normal(8, 1, (each, 40))])


def test_rows_that_are_alike_lie_together() -> None:
    places = embed(two_clusters(), seed=0)
    assert places.shape == (60, 2)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert ((distances.argmin(axis=1) < 30) == (np.arange(60) < 30)).all()
    assert places.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)


def test_the_same_rows_and_seed_give_the_same_places() -> None:
    assert np.array_equal(embed(two_clusters(), seed=3), embed(two_clusters(), seed=3))


@pytest.mark.parametrize("rows", [10, 11])
def test_few_rows_and_equal_ones_have_places(rows: int) -> None:
    assert np.isfinite(embed(np.ones((rows, 4)) * np.arange(rows)[:, None] // 2, seed=0)).all()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"^t-SNE: needs 10 or more pictures, got 9$"):
        embed(np.zeros((9, 4)), seed=0)


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(NotFoundError, match=r"^t-SNE: needs the package openTSNE \(.*\); install agan\[tsne\]$"):
        embed(two_clusters(), seed=0)
