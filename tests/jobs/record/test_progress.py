from types import SimpleNamespace

import pytest

import jobs.record.progress
from infra.errors import StorageError
from jobs.record.progress import ProgressReporter
from jobs.record.status import JobProgress, load_progress
from tests.support.helpers import MemoryStorage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jobs.record.progress, "time", SimpleNamespace(time=clock.time))
    return clock


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def reporter(storage: MemoryStorage, clock: Clock) -> ProgressReporter:
    return ProgressReporter(storage, "j")


def seen(storage: MemoryStorage) -> JobProgress:
    found = load_progress(storage, "j")
    assert found is not None
    return found


def test_the_store_hears_at_most_once_a_second(
    reporter: ProgressReporter, storage: MemoryStorage, clock: Clock
) -> None:
    reporter.update("training", 0, 100, "steps")
    clock.now += 0.9
    reporter.update("training", 1, 100, "steps")
    assert seen(storage).done == 0
    clock.now += 0.1
    reporter.update("training", 2, 100, "steps")
    assert seen(storage).done == 2


def test_the_store_always_hears_of_begin_and_end_of_a_phase(reporter: ProgressReporter, storage: MemoryStorage) -> None:
    for phase, done in [("rendering", 0), ("rendering", 5), ("packing", 0), ("packing", 5)]:
        reporter.update(phase, done, 5, "images")
        assert (seen(storage).phase, seen(storage).done) == (phase, done)


def test_the_time_left_is_that_of_this_phase(reporter: ProgressReporter, storage: MemoryStorage, clock: Clock) -> None:
    reporter.update("training", 40, 100, "steps")
    assert seen(storage).eta_sec is None
    clock.now += 10
    reporter.update("training", 60, 100, "steps")
    assert seen(storage).eta_sec == pytest.approx(20)
    reporter.update("measuring", 0, 10, "images")
    assert seen(storage).eta_sec is None
    clock.now += 10
    reporter.update("measuring", 10, 10, "images")
    assert seen(storage).eta_sec == 0


def test_speed_and_values_are_told(reporter: ProgressReporter, storage: MemoryStorage) -> None:
    reporter.update("training", 1, 2, "steps", images_per_sec=12.5, values={"g": 0.5, "kid": float("nan")})
    found = seen(storage)
    assert found.images_per_sec == 12.5 and found.values["g"] == 0.5 and found.values["kid"] != found.values["kid"]
    assert (found.unit, found.total, found.updated_at) == ("steps", 2, 100.0)


def test_a_store_that_is_away_does_not_end_the_work(
    reporter: ProgressReporter,
    storage: MemoryStorage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(key: str, data: bytes) -> None:
        raise StorageError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "write", away)
        reporter.update("training", 1, 2, "steps")
    assert "warning: progress is late: the store is away" in capsys.readouterr().err
    reporter.update("training", 2, 2, "steps")
    assert seen(storage).done == 2
