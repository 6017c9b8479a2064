from pathlib import Path

import pytest

from infra.cluster.ray_cluster import connect, find
from infra.errors import ClusterError, UsageError
from infra.settings import Settings

CONFIGURED = "http://cluster.example:8265"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No head node of ours, a token in the environment, and one configured cluster."""
    monkeypatch.setenv("AGAN_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("AGAN_CLUSTER", CONFIGURED)
    monkeypatch.chdir(tmp_path)


def test_the_token_goes_to_the_configured_cluster_and_to_no_address_of_a_record() -> None:
    configured, recorded = find(CONFIGURED), find("http://elsewhere.example:8265")
    assert configured is not None and recorded is not None
    assert configured._headers == {"Authorization": "Bearer secret"}
    assert recorded._headers == {}
    assert find(None) is None


def test_a_cluster_url_with_a_user_name_is_refused_because_it_would_be_recorded() -> None:
    with pytest.raises(UsageError, match="holds a user name"):
        connect(Settings(cluster="http://me:pass@cluster.example"))


def test_a_cluster_that_does_not_answer_is_an_error_that_says_what_to_check() -> None:
    cluster = connect(Settings(cluster="http://127.0.0.1:9"))
    with pytest.raises(ClusterError, match=r"http://127.0.0.1:9: not reachable .*check --cluster"):
        cluster.capacity()
