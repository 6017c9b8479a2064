"""The store and the cluster of `agan submit`."""

from pathlib import Path

import pytest

from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.settings import Settings
from infra.storage.local import LocalStorage
from tests.support.builders_jobs import EndingCluster, put_dataset, put_generated, put_model


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """The store that the environment names, with a data set, a model and generated images."""
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage(tmp_path / "store")
    monkeypatch.setenv("AGAN_STORE", storage.uri)
    put_dataset(storage)
    put_model(storage)
    put_generated(storage)
    return storage


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate takes seconds; `tests/anomaly_gan/training/test_memory.py` has the real one."""
    estimate = MemoryEstimate(resting=2**30, peak=5 * 2**29)
    monkeypatch.setattr("jobs.train.memory.estimate_memory", lambda config, resolution, world_size: estimate)


@pytest.fixture
def cluster(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> EndingCluster:
    """The cluster of every submission."""
    cluster = EndingCluster(storage)
    monkeypatch.setattr("infra.cluster.ray_cluster.connect", lambda settings: cluster)
    return cluster


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(settings: Settings) -> None:
        raise AssertionError("a cluster was started")

    monkeypatch.setattr("infra.cluster.ray_cluster.connect", connect)
