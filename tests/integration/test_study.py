"""Studies on a real cluster: they share the work, and go on where they were killed."""

import json

import pytest

from tests.integration.conftest import Suite, Until

GRID = ("--arms", "none,flips", "--seeds", "6", "--set", "resources.cpus_per_worker=1")
"""Twelve cells."""


def kept(suite: Suite) -> set[str]:
    return {entry.key for entry in suite.storage.list("cells/") if entry.key.endswith(".npz")}


def studied(suite: Suite, job_id: str) -> list[dict[str, object]]:
    suite.agan("results", "pull", job_id, "-o", job_id)
    figures = json.loads((suite.folder / job_id / "study.json").read_text())
    cells: list[dict[str, object]] = figures["detectors"][0]["cells"]
    return cells


@pytest.mark.slow
def test_a_study_that_is_killed_in_the_middle_goes_on_with_what_is_missing(
    suite: Suite, dataset: str, until: Until
) -> None:
    before = kept(suite)
    job_id = suite.submit("study", "--dataset", dataset, *GRID, "--detector-steps", "30", "--workers", "2")
    until(lambda: len(kept(suite) - before) >= 4, 240, "four cells")
    for driver in suite.drivers(job_id):
        driver.kill()
    until(lambda: not suite.is_running(job_id), 120, "the end of the job")
    done = kept(suite)
    suite.agan("jobs", "resume", job_id)
    suite.wait(job_id)
    assert len(kept(suite) - before) == 12 and done <= kept(suite)
    assert len(studied(suite, job_id)) == 12
