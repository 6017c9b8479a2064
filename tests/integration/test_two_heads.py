"""A second Ray on the machine, started later, which is none of our jobs' business."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.conftest import Suite

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]


def test_a_job_runs_on_its_own_head_node_though_another_was_started_later(
    suite: Suite, tiny_model: str, tmp_path: Path
) -> None:
    other = replace(suite, environment={**suite.environment, "AGAN_HOME": str(tmp_path)})
    other.agan("cluster", "start", "--cpus", "1")
    try:
        suite.wait(suite.submit("generate", "--model", tiny_model, "--count", "4"))
    finally:
        other.agan("cluster", "stop")
