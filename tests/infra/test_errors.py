import pickle

import pytest

from infra.errors import (
    AganError,
    ClusterError,
    DataError,
    ExitCode,
    NotFoundError,
    StorageError,
    TrainingError,
    UsageError,
)

CODES = {
    AganError: 1,
    TrainingError: 1,
    UsageError: 2,
    NotFoundError: 3,
    DataError: 6,
    StorageError: 7,
    ClusterError: 8,
}


def test_every_error_is_listed_here() -> None:
    assert {*AganError.__subclasses__(), AganError} == set(CODES)


@pytest.mark.parametrize("error", CODES)
def test_an_error_crosses_processes_with_its_message(error: type[AganError]) -> None:
    copy = pickle.loads(pickle.dumps(error("spec.yaml: seed: wrong, got -1; use 0")))
    assert type(copy) is error
    assert str(copy) == "spec.yaml: seed: wrong, got -1; use 0"


@pytest.mark.parametrize(("error", "code"), CODES.items())
def test_the_exit_code_of_an_error_is_the_documented_one(error: type[AganError], code: int) -> None:
    assert error.exit_code == code


def test_the_exit_codes_are_distinct_and_stable() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "SUCCEEDED": 0,
        "FAILED": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "CANCELLED": 4,
        "LOST": 5,
        "DATA": 6,
        "STORAGE": 7,
        "CLUSTER": 8,
    }
