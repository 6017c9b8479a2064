"""The benchmarks of an evaluation's parts, as commands."""

import json

import pytest

from anomaly_gan.benchmarks import likeness
from infra.settings import Settings
from infra.storage.open import open_storage
from jobs.benchmarks import cells
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import StudySpec
from tests.support.benchmarks import KEYS
from tests.support.helpers import run_cli


def test_a_study_is_timed_on_one_and_on_two_workers_in_stores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, str | None]] = []

    def run(resolved: ResolvedSpec[StudySpec], settings: Settings) -> float:
        spec = resolved.spec
        assert (len(spec.arms) * spec.seeds, spec.learners[0].steps) == (6, 3)
        assert spec.arms == ("none", "flips", "copy_paste")
        assert open_storage(settings).exists(f"datasets/{spec.dataset.replace('@', '/')}/index.json")
        begun.append((spec.resources.workers, settings.store))
        return 30.0 / spec.resources.workers + 5

    monkeypatch.setattr(cells, "_submitted", run)
    data = json.loads(run_cli(["bench", "study", "--seeds", "2", "--steps", "3", "--json"]).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "seeds": 2, "steps": 3}
    assert [workers for workers, _ in begun] == [1, 2, 1, 2] and len({store for _, store in begun}) == 4
    assert data["medians"] == {
        "1 worker": {"sec": 35, "cells_per_min": pytest.approx(6 / 35 * 60)},
        "2 workers": {"sec": 20, "cells_per_min": pytest.approx(6 / 20 * 60)},
    }
    told = {"value": pytest.approx(20 / 35), "aim": "at most 0.6"}
    assert data["ratios"] == {"time of 2 workers / 1 worker": told}


def test_measures_are_compared_with_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "REAL_PICTURES", 6)
    args = ["bench", "likeness", "--images", "10", "--threads", "1", "--repeats", "1", "--json"]
    data = json.loads(run_cli(args).stdout)
    assert list(data) == KEYS
    assert data["configuration"] == {"repeats": 1, "images": 10}
    alone, whole = (data["medians"][name]["images_per_sec"] for name in ("network alone", "measures"))
    assert data["ratios"] == {
        "measures / network alone": {"value": pytest.approx(whole / alone), "aim": "at least 0.9"}
    }
