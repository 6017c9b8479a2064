import pytest

from infra.cluster.loopback import unproxied


@pytest.mark.parametrize(
    ("environ", "listed"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "corp.example, .lan"}, "corp.example,.lan,127.0.0.1,localhost"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,b,127.0.0.1,localhost"),
    ],
)
def test_this_machine_is_reached_without_a_proxy_and_others_stay_listed(environ: dict[str, str], listed: str) -> None:
    assert unproxied(environ) == {"no_proxy": listed, "NO_PROXY": listed}
