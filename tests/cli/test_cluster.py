import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cluster.aws import launcher as cluster_launcher
from infra.cluster.local_head import LocalHead
from infra.cluster.processes import ProcessMark
from infra.errors import ClusterError
from tests.support.helpers import run_cli

HEAD = LocalHead(
    dashboard="http://127.0.0.1:1234",
    address="127.0.0.1:1235",
    cpus=2,
    processes=(ProcessMark(pid=1, started_at=0.0),),
    started_at=0.0,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGAN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head node that runs, as far as anybody can tell."""
    for place in ("infra.cluster.local_head", "infra.cluster.ray_cluster"):
        monkeypatch.setattr(f"{place}.running_head", lambda: HEAD)


def test_without_a_head_node_status_says_so_and_stop_does_nothing(home: Path) -> None:
    assert run_cli(["cluster", "status"]).stdout == "no local head node; `agan cluster start`, or submit a job\n"
    assert json.loads(run_cli(["cluster", "status", "--json"]).stdout) == {"running": False}
    assert run_cli(["cluster", "stop"]).stdout == "no local head node was running\n"
    assert json.loads(run_cli(["cluster", "stop", "--json"]).stdout) == {"stopped": False}
    assert not home.exists()


def test_without_a_head_node_there_is_no_dashboard() -> None:
    result = run_cli(["cluster", "dashboard"], exit_code=8)
    assert result.stderr == (
        "error: dashboard: no local head node runs; `agan cluster start`, or name one with --cluster\n"
    )


@pytest.mark.usefixtures("head")
def test_status_and_dashboard_of_a_head_node(home: Path) -> None:
    assert run_cli(["cluster", "status"]).stdout == "head node on http://127.0.0.1:1234, 2 CPUs, 1 processes\n"
    told = json.loads(run_cli(["cluster", "status", "--json"]).stdout)
    assert told["running"] is True and told["address"] == "127.0.0.1:1235"
    assert run_cli(["cluster", "dashboard"]).stdout.splitlines() == [
        "http://127.0.0.1:1234",
        f"It asks for a token once; copy it from {home / 'token'}",
        "Jobs are at http://127.0.0.1:1234/#/jobs",
    ]


def test_the_dashboard_of_a_configured_cluster_needs_no_head_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/tokens/lab")
    told = json.loads(run_cli(["cluster", "dashboard", "--cluster", "http://lab:8265", "--json"]).stdout)
    assert told == {"url": "http://lab:8265", "token_file": "/tokens/lab"}


def test_start_offers_the_cores_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "infra.cluster.local_head.start_head", lambda cpus: HEAD.model_copy(update={"cpus": cpus or 99})
    )
    assert run_cli(["cluster", "start", "--cpus", "3"]).stdout == "head node on http://127.0.0.1:1234, 3 CPUs\n"
    assert json.loads(run_cli(["cluster", "start", "--json"]).stdout)["cpus"] == 99


def launcher(monkeypatch: pytest.MonkeyPatch, exit_code: int) -> list[dict[str, Any]]:
    """Ray's launcher does nothing and ends so; what it was called with."""
    calls: list[dict[str, Any]] = []

    def run(
        command: Sequence[str], *, env: Mapping[str, str], cwd: Path, check: bool, stdout: int | None = None
    ) -> SimpleNamespace:
        calls.append({"verb": command[1], "args": list(command[2:]), "stdout": stdout})
        return SimpleNamespace(returncode=exit_code)

    monkeypatch.setattr("infra.cluster.aws.launcher.subprocess.run", run)
    return calls


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cluster_up` without the checks of its file, which have tests of their own."""

    def cluster_up(path: Path, *, yes: bool, runner: cluster_launcher.Runner) -> SimpleNamespace:
        if runner(["ray", "up", *(["-y"] if yes else [])], {}, path.parent):
            raise ClusterError(f"{path}: `ray up` ended badly; repeat it")
        return SimpleNamespace(cluster_name="agan")

    monkeypatch.setattr(cluster_launcher, "cluster_up", cluster_up)


@pytest.mark.usefixtures("up")
def test_up_hands_over_to_rays_launcher_and_tells_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = launcher(monkeypatch, 0)
    result = run_cli(["cluster", "up", "lab.yaml", "--yes"])
    assert "which ends running jobs" in result.stderr
    assert result.stdout.startswith("agan: up; `ray dashboard lab.yaml` forwards its dashboard, then --cluster")
    assert json.loads(run_cli(["cluster", "up", "lab.yaml", "--json"]).stdout) == {"cluster_name": "agan", "up": True}
    assert calls == [
        {"verb": "up", "args": ["-y"], "stdout": None},
        {"verb": "up", "args": [], "stdout": 2},
    ]


@pytest.mark.usefixtures("up")
def test_up_that_failed_ends_with_exit_8(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher(monkeypatch, 1)
    assert "error: lab.yaml: `ray up` ended badly" in run_cli(["cluster", "up", "lab.yaml"], exit_code=8).stderr


def test_down_hands_over_to_rays_launcher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = launcher(monkeypatch, 0)
    Path("lab.yaml").write_text("cluster_name: agan\n")
    assert run_cli(["cluster", "down", "lab.yaml", "-y"]).stdout == "lab.yaml: ended\n"
    assert json.loads(run_cli(["cluster", "down", "lab.yaml", "--json"]).stdout) == {"file": "lab.yaml", "up": False}
    assert calls[0] == {"verb": "down", "args": ["-y", str(tmp_path / "lab.yaml")], "stdout": None}
    assert calls[1]["stdout"] == 2
    launcher(monkeypatch, 1)
    assert "nodes may still run and cost money" in run_cli(["cluster", "down", "lab.yaml"], exit_code=8).stderr


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_cluster_file_that_is_not_there_ends_with_exit_2(command: str) -> None:
    result = run_cli(["cluster", command, "gone.yaml"], exit_code=2)
    assert "error: gone.yaml: No such file or directory; give the path" in result.stderr
