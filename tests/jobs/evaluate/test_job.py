"""What an evaluation measures of the images, without a cluster and without detectors."""

from pathlib import Path

from infra.settings import Settings
from infra.storage.local import LocalStorage
from jobs.evaluate.job import _measure
from jobs.kinds import complete
from jobs.record.context import JobContext
from jobs.spec.resolve import resolve
from jobs.spec.specs import EvaluateSpec
from tests.support.builders_jobs import put_dataset, put_status
from tests.support.builders_studies import put_job_of


def test_generated_images_are_measured_beside_real_ones_and_fakes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    put_dataset(storage)
    put_status(storage, "evaluate-1")
    given = {"dataset": "tiles", "generated": put_job_of(storage, "hole", images=3), "measured_images": 2}
    spec = complete(resolve(EvaluateSpec, given, environ={}), storage).spec
    found = _measure(JobContext("evaluate-1", spec, Settings(store=storage.uri), storage).to_plain())
    [diversity] = found.perceptual.networks.values()
    real = ["real, training split", "real, test split"]
    assert list(diversity) == [*real, "generated", "copy-paste", "flat painter"]
    assert "alexnet.pth" in found.perceptual.missing[0]
    painters = ["flat painter", "noise painter", "shifted-mask painter"]
    assert list(found.realism.sets) == [real[0], "copy-paste", "generated", "untrained generator", *painters]
    assert found.realism.sets["flat painter"].kept == 0.0
    assert set(found.likeness.two_sample) == set(found.likeness.sets)
    assert list(found.beside) == ["best", "median", "worst"]
    assert len(found.rows) == 2
