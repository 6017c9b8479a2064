"""The head node's bookkeeping, with a small web server in Ray's place."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cluster import local_head
from infra.cluster.local_head import head_environment, running_head, start_head, state_folder, stop_head, token_path
from infra.cluster.processes import ProcessMark, is_alive
from infra.errors import ClusterError

SERVER = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "Bearer " + open(sys.argv[2]).read()
        self.send_response(200 if known and self.path == "/api/jobs/" else 401)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""

# the head node outlives the command that starts it, and so does its process the Popen object
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGAN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def command(cpus: int, ports: list[int]) -> list[str]:
        return [sys.executable, "-c", SERVER, str(ports[1]), str(token_path())]

    monkeypatch.setattr(local_head, "_command", command)
    yield
    stop_head()


def write_head(home: Path, process: ProcessMark) -> None:
    head = local_head.LocalHead(
        dashboard="http://127.0.0.1:1", address="127.0.0.1:2", cpus=1, processes=(process,), started_at=0.0
    )
    home.mkdir(parents=True, exist_ok=True)
    (home / "head.json").write_text(head.model_dump_json())


def test_no_head_runs_where_none_was_started(home: Path) -> None:
    assert running_head() is None
    assert stop_head() is False
    assert not home.exists()


def test_a_stale_record_is_no_running_head(home: Path) -> None:
    write_head(home, ProcessMark(pid=os.getpid(), started_at=1.0))
    assert running_head() is None
    assert stop_head() is False
    assert not (home / "head.json").exists()


@pytest.mark.usefixtures("server")
def test_a_head_is_started_once_recorded_and_ended(home: Path) -> None:
    head = start_head(cpus=3)
    assert head.cpus == 3 and head.dashboard.startswith("http://127.0.0.1:")
    assert running_head() == head == start_head()
    assert json.loads((home / "head.json").read_text())["dashboard"] == head.dashboard
    assert stop_head() is True
    assert not any(is_alive(process) for process in head.processes)
    assert running_head() is None and not (home / "head.json").exists()


@pytest.mark.usefixtures("server")
def test_only_the_owner_reads_the_token_which_stays_the_same(home: Path) -> None:
    start_head()
    token = token_path().read_text()
    assert len(token) == 64
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    stop_head()
    token_path().chmod(0o644)
    start_head()
    assert token_path().read_text() == token
    assert stat.S_IMODE(token_path().stat().st_mode) == 0o600


def test_a_head_that_does_not_come_up_is_an_error_that_names_its_log(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_head, "_command", lambda cpus, ports: [sys.executable, "-c", "print('no room')"])
    with pytest.raises(ClusterError, match=rf"local head node: did not start; see {home}/head\.log"):
        start_head()
    assert "no room" in (home / "head.log").read_text()
    assert running_head() is None


def test_a_missing_ray_program_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="Ray's command is not there; install agan again"):
        start_head()


def test_the_command_listens_on_loopback_only() -> None:
    command = local_head._command(2, [1001, 1002, 1003, 1004])
    assert "--node-ip-address=127.0.0.1" in command and "--dashboard-host=127.0.0.1" in command
    assert "--num-cpus=2" in command and "--dashboard-port=1002" in command


def test_the_heads_environment_drops_what_points_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_ID", "PYTHONPATH", "AGAN_STORE"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    environment = head_environment()
    assert "elsewhere" not in environment.values()
    assert environment["KEPT"] == "yes"
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_AUTH_TOKEN_PATH"] == str(token_path())
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_state_folder_is_agan_home_or_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state_folder() == tmp_path / "home"
    monkeypatch.delenv("AGAN_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder() == tmp_path / ".agan"
