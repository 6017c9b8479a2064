"""What an evaluation measures of the images, without a cluster and without detectors."""

import sys
from pathlib import Path

import numpy as np
import pytest

from anomaly_gan.evaluation.crop_files import crop_bytes
from anomaly_gan.evaluation.feature_map import FeatureMap
from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.metrics.features.network import Features, FeatureSource, load_features
from anomaly_gan.reports.data import Absent
from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.evaluate.measuring import Measured, measure
from jobs.kinds import complete
from jobs.record.context import JobContext
from jobs.spec.resolve import resolve
from jobs.spec.specs import EvaluateSpec
from jobs.train.features import features_name
from tests.support.builders_jobs import put_dataset, put_results, put_status
from tests.support.builders_studies import put_job_of


def measured(storage: LocalStorage) -> Measured:
    """Of three pictures of an untrained model, two of which are measured."""
    put_dataset(storage)
    put_status(storage, "evaluate-1")
    given = {"dataset": "tiles", "generated": put_job_of(storage, "hole", images=3), "measured_images": 2}
    spec = complete(resolve(EvaluateSpec, given, environ={}), storage).spec
    return measure(JobContext("evaluate-1", spec, Settings(store=storage.uri), storage).to_plain())


def stage(source: FeatureSource) -> bytes:
    """What a train job keeps of a checkpoint."""
    values = np.random.default_rng(0).normal(size=(6, 1280))
    return crop_bytes(CropFeatures(Features(values, source), [f"gen-{i}" for i in range(6)]))


def test_generated_images_are_measured_beside_real_ones_and_fakes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    ours = load_features("lite0").source
    stages = {features_name(5): stage(ours), features_name(9): stage(ours.model_copy(update={"network": "other"}))}
    put_results(storage, "train-hole", **stages)
    found = measured(storage)
    [diversity] = found.perceptual.networks.values()
    real = ["real, training split", "real, test split"]
    assert list(diversity) == [*real, "generated", "copy-paste", "flat painter"]
    assert "alexnet.pth" in found.perceptual.missing[0]
    painters = ["flat painter", "noise painter", "shifted-mask painter"]
    assert list(found.realism.sets) == [real[0], "copy-paste", "generated", "untrained generator", *painters]
    assert found.realism.sets["flat painter"].kept == 0.0
    assert set(found.likeness.two_sample) == set(found.likeness.sets)
    assert isinstance(found.feature_map, FeatureMap)
    assert list(found.feature_map.sets) == ["untrained generator", "after 5 steps", "generated", real[0]]
    for name in ("generated", real[0]):
        assert found.feature_map.sets[name].two_sample == found.likeness.two_sample[name]
    assert list(found.beside) == ["best", "median", "worst"]
    assert len(found.rows) == 2


def test_without_its_package_there_is_no_map_and_the_reason_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    found = measured(LocalStorage(tmp_path / "store")).feature_map
    assert isinstance(found, Absent)
    assert found.reason.startswith("t-SNE: needs the package openTSNE (")
    assert found.reason.endswith("; install agan[tsne]")
