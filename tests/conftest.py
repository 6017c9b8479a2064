"""Fixtures of all tests: one S3 server on loopback, and no credential or setting from outside."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: spinning threads starve the other tests

# the gate tries the same cases every time; `AGAN_TEST_SEARCH=1` looks for others
settings.register_profile("agan", derandomize=not os.environ.get("AGAN_TEST_SEARCH"))
settings.load_profile("agan")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
FOREIGN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "NO_COLOR", "FORCE_COLOR")
INTEGRATION = "tests/integration/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that the tests on the other core end with it."""
    items.sort(key=lambda item: not item.nodeid.startswith(INTEGRATION))


class OneHeadNode(LoadFileScheduling):  # type: ignore[misc]  # which xdist does not describe to mypy
    """As `--dist loadfile`, but one process runs all integration tests, which share a Ray head node."""

    def _split_scope(self, nodeid: str) -> str:
        return INTEGRATION if nodeid.startswith(INTEGRATION) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)  # there is no such hook where xdist is switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneHeadNode | None:
    return OneHeadNode(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> None:
    """No test reads this machine's AWS profile, Ray cluster or agan settings."""
    for name in [*FOREIGN, *(name for name in os.environ if name.startswith("AGAN_") and name != "AGAN_TEST_DATA")]:
        os.environ.pop(name, None)
    os.environ.update(CREDENTIALS)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of a moto server in this process, which other processes reach too."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
