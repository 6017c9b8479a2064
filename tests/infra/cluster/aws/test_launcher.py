import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from infra.cluster.aws.launcher import cluster_down, cluster_up, run_streaming
from infra.cluster.ray_program import ensure_token
from infra.errors import ClusterError, UsageError
from tests.support.helpers import ROOT

RAY = str(Path(sys.executable).with_name("ray"))


class FakeRunner:
    """Keeps the last call instead of starting a process."""

    def __init__(self, exit_code: int = 0) -> None:
        self.exit_code = exit_code
        self.command: list[str] | None = None
        self.environment: dict[str, str] = {}
        self.folder = Path()

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> int:
        self.command, self.environment, self.folder = list(command), dict(environment), folder
        return self.exit_code


@pytest.fixture
def cluster_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped file, filled in, in a folder that holds all it names; programs count as installed."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    key = tmp_path / "home" / ".ssh" / "agan.pem"
    key.parent.mkdir(parents=True)
    key.touch()
    for name in ("pyproject.toml", "README.md", "requirements.lock"):
        (tmp_path / name).touch()
    for name in ("anomaly_gan", "cli", "infra", "jobs"):
        (tmp_path / name).mkdir()
    path = tmp_path / "cluster.yaml"
    text = (ROOT / "ray_cluster.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("REPLACE_ME_", "filled-in-"), encoding="utf-8")
    return path


def token_of(path: Path) -> Path:
    return path.parent / "home" / ".ray" / "auth_token"


def test_up_runs_rays_launcher_in_the_files_folder_with_token_and_without_cache(cluster_yaml: Path) -> None:
    runner = FakeRunner()
    cluster = cluster_up(cluster_yaml, yes=True, runner=runner)
    assert runner.command == [RAY, "up", "-y", str(cluster_yaml), "--no-config-cache"]
    assert runner.folder == cluster_yaml.parent
    assert runner.environment["RAY_AUTH_MODE"] == "token"
    assert runner.environment["RAY_AUTH_TOKEN_PATH"] == str(token_of(cluster_yaml))
    assert runner.environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert runner.environment["RAY_UP_enable_autoscaler_v2"] == "1"
    assert runner.environment["HOME"] == str(cluster_yaml.parent / "home")
    assert cluster.cluster_name == "agan"


def test_up_leaves_the_question_to_ray_without_yes(cluster_yaml: Path) -> None:
    runner = FakeRunner()
    cluster_up(cluster_yaml, yes=False, runner=runner)
    assert runner.command == [RAY, "up", str(cluster_yaml), "--no-config-cache"]


def test_up_makes_a_token_that_only_the_owner_reads(cluster_yaml: Path) -> None:
    cluster_up(cluster_yaml, yes=True, runner=FakeRunner())
    token = token_of(cluster_yaml)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text(encoding="utf-8")) == 64


def test_up_names_the_placeholder_left_over_and_starts_nothing(cluster_yaml: Path) -> None:
    text = cluster_yaml.read_text(encoding="utf-8")
    cluster_yaml.write_text(text.replace("filled-in-SUBNET_ID", "REPLACE_ME_SUBNET_ID"), encoding="utf-8")
    runner = FakeRunner()
    with pytest.raises(UsageError, match=r"cluster\.yaml: REPLACE_ME_SUBNET_ID: not filled in"):
        cluster_up(cluster_yaml, yes=True, runner=runner)
    assert runner.command is None
    assert not token_of(cluster_yaml).exists()


def test_up_names_a_local_file_that_is_missing(cluster_yaml: Path) -> None:
    (cluster_yaml.parent / "requirements.lock").unlink()
    runner = FakeRunner()
    with pytest.raises(UsageError, match=r"requirements\.lock: no such file"):
        cluster_up(cluster_yaml, yes=True, runner=runner)
    assert runner.command is None


@pytest.mark.parametrize("missing", ["rsync", "aws"])
def test_up_names_a_program_that_is_missing(cluster_yaml: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None if program == missing else f"/usr/bin/{program}")
    with pytest.raises(ClusterError, match=f"^{missing}: not found"):
        cluster_up(cluster_yaml, yes=True, runner=FakeRunner())


def test_up_that_failed_gives_the_exit_code_and_the_way_to_end_the_nodes(cluster_yaml: Path) -> None:
    with pytest.raises(ClusterError, match=r"exit code 3, .*agan cluster down"):
        cluster_up(cluster_yaml, yes=True, runner=FakeRunner(exit_code=3))


def test_up_says_when_ray_is_not_installed(cluster_yaml: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ClusterError, match="install agan again"):
        cluster_up(cluster_yaml, yes=True, runner=FakeRunner())


@pytest.mark.parametrize(("yes", "flags"), [(True, ["-y"]), (False, [])])
def test_down_runs_rays_launcher(cluster_yaml: Path, yes: bool, flags: list[str]) -> None:
    runner = FakeRunner()
    cluster_down(cluster_yaml, yes=yes, runner=runner)
    assert runner.command == [RAY, "down", *flags, str(cluster_yaml)]
    assert runner.folder == cluster_yaml.parent
    assert runner.environment["RAY_AUTH_MODE"] == "token"


def test_down_still_works_when_the_file_would_no_longer_be_started(cluster_yaml: Path) -> None:
    text = cluster_yaml.read_text(encoding="utf-8")
    cluster_yaml.write_text(text.replace("HttpTokens: required", "HttpTokens: optional"), encoding="utf-8")
    runner = FakeRunner()
    cluster_down(cluster_yaml, yes=True, runner=runner)
    assert runner.command is not None


def test_down_refuses_a_file_that_was_never_filled_in() -> None:
    runner = FakeRunner()
    with pytest.raises(UsageError, match="REPLACE_ME_REGION"):
        cluster_down(ROOT / "ray_cluster.yaml", yes=True, runner=runner)
    assert runner.command is None


def test_down_that_failed_warns_of_costs(cluster_yaml: Path) -> None:
    with pytest.raises(ClusterError, match="exit code 1, nodes may still run and cost money"):
        cluster_down(cluster_yaml, yes=True, runner=FakeRunner(exit_code=1))


def test_ensure_token_keeps_an_existing_token_and_closes_it_to_others(tmp_path: Path) -> None:
    token = tmp_path / "auth_token"
    token.write_text("secret", encoding="utf-8")
    token.chmod(0o644)
    ensure_token(token)
    assert token.read_text(encoding="utf-8") == "secret"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_ensure_token_refuses_an_empty_token(tmp_path: Path) -> None:
    (tmp_path / "auth_token").touch()
    with pytest.raises(UsageError, match="the token file is empty"):
        ensure_token(tmp_path / "auth_token")


def test_run_streaming_returns_the_exit_code_and_lets_the_output_through(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = run_streaming(["sh", "-c", 'echo "$GREETING from $(pwd)"; exit 7'], {"GREETING": "hello"}, tmp_path)
    assert code == 7
    assert capfd.readouterr().out == f"hello from {tmp_path}\n"
