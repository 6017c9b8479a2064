"""Every command of docs/walkthrough.md, in order, in one shell, on the real tiles."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Suite
from tests.support.helpers import ROOT, TEST_DATA

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

PAGE = ROOT / "docs" / "walkthrough.md"
DOCUMENTED_PORT = "5555"
TIMEOUT_SEC = 1500


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.timeout(TIMEOUT_SEC)
@pytest.mark.skipif(not (TEST_DATA / "magnetic_tile").is_dir(), reason=f"no magnetic_tile in {TEST_DATA}")
def test_every_command_of_the_walkthrough_works_and_anomalies_appear_in_their_masks(
    tmp_path: Path, suite: Suite
) -> None:
    """Only the port differs from the page, so that two runs on one machine do not meet."""
    script = "set -e\n" + "\n".join(commands())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        script = script.replace(DOCUMENTED_PORT, str(free.getsockname()[1]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AGAN_", "RAY_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "HOME": str(tmp_path),
        "AGAN_TEST_DATA": str(TEST_DATA),
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SEC
        )
    finally:
        _clean_up(tmp_path, environment)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-5000:]}"

    figures = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["measures"]
    trained, untrained = figures["trained"], figures["untrained"]
    assert trained["mask_hit"]["mean"] > 0.6
    # one that has learnt nothing fills masks with what is around them: in the right place, but nothing is to be seen
    assert trained["in_mask_change"]["mean"] > 3 * untrained["in_mask_change"]["mean"]
    assert trained["background_mae_pasted"]["mean"] == 0
    assert len(json.loads((tmp_path / "coco" / "annotations.json").read_text())["images"]) == 64
    still_there = json.loads(suite.agan("cluster", "status", "--json"))
    assert still_there["running"], "`agan cluster stop` ended a head node that was not its own"
    assert "blowhole" in (tmp_path / "evaluation" / "report.html").read_text()


def _clean_up(folder: Path, environment: dict[str, str]) -> None:
    """End what a script that failed half-way has left running."""
    subprocess.run([sys.executable, "-m", "cli.main", "cluster", "stop"], env=environment, capture_output=True)
    pid = folder / "moto.pid"
    if pid.is_file():
        subprocess.run(["kill", pid.read_text().strip()], capture_output=True)
