"""What makes a rank stop, with Ray's answers played; the real ones are in tests/integration/test_preemption.py."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import ray.train
import ray.train.collective
from ray.exceptions import RayActorError
from ray.train import PreemptionInfo

from jobs.train import preemption
from jobs.train.preemption import POLL_SEC, GraceWatch, StopNotice, end_stopped, watch_sigterm

NOTICE = PreemptionInfo(deadline_ms=None, preempted_node_to_ranks={"a": [1]})


class FakeRay:
    """Ray as one rank sees it, and its clock."""

    def __init__(self, from_rank_zero: Iterator[int] | None = None) -> None:
        self.now = 0.0
        self.info: PreemptionInfo | None = None
        self.asked_at: list[float] = []
        self.shared: list[int] = []
        self._from_rank_zero = from_rank_zero

    def monotonic(self) -> float:
        return self.now

    def get_preemption_info(self) -> PreemptionInfo | None:
        self.asked_at.append(self.now)
        return self.info

    def broadcast_from_rank_zero(self, data: int) -> int:
        self.shared.append(data if self._from_rank_zero is None else next(self._from_rank_zero))
        return self.shared[-1]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray.train, "get_preemption_info", self.get_preemption_info)
        monkeypatch.setattr(ray.train.collective, "broadcast_from_rank_zero", self.broadcast_from_rank_zero)
        monkeypatch.setattr(preemption, "time", SimpleNamespace(monotonic=self.monotonic))


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    fake.install(monkeypatch)
    return fake


def asking_calls(fake: FakeRay, step_sec: float, calls: int) -> list[int]:
    """Numbers of the calls that ask Ray, when each step takes so long."""
    notice, found = StopNotice(), []
    for call in range(calls):
        fake.now += step_sec
        before = len(fake.asked_at)
        assert not notice()
        if len(fake.asked_at) > before:
            found.append(call)
    return found


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What would have been given to the real alarm, which pytest's time limit needs."""
    made: list[int] = []
    monkeypatch.setattr(signal, "alarm", made.append)
    handler = signal.getsignal(signal.SIGTERM)
    yield made
    signal.signal(signal.SIGTERM, handler)
    preemption._sigterm.clear()


def test_sigterm_asks_to_stop_and_a_second_one_is_handled_as_before(fake_ray: FakeRay, alarms: list[int]) -> None:
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    watch_sigterm(40)
    notice = StopNotice()
    assert not notice()
    os.kill(os.getpid(), signal.SIGTERM)
    assert notice()
    assert alarms == [40]
    assert not ended
    os.kill(os.getpid(), signal.SIGTERM)
    assert ended
    assert notice()


def test_a_rank_that_hangs_ends_when_the_grace_is_over() -> None:
    code = (
        "import os, signal, threading; from jobs.train import preemption\n"
        "preemption.watch_sigterm(1); os.kill(os.getpid(), signal.SIGTERM)\n"
        "lock = threading.Lock(); lock.acquire(); lock.acquire()"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == -signal.SIGALRM


def test_a_step_and_a_checkpoint_longer_than_the_grace_are_warned_of_once() -> None:
    watch = GraceWatch(25)
    assert watch.look(step_sec=5, checkpoint_sec=20) is None
    told = watch.look(step_sec=6, checkpoint_sec=20)
    assert told is not None
    assert told.startswith("a step and a checkpoint take 26 s, resources.stop_grace_sec is 25: ")
    assert watch.look(step_sec=60, checkpoint_sec=20) is None


def test_the_notice_that_a_node_goes_asks_to_stop(fake_ray: FakeRay) -> None:
    assert not StopNotice()()
    fake_ray.info = NOTICE
    assert StopNotice()()


@pytest.mark.parametrize("step_sec", [0.001, 0.05, 0.3])
def test_ray_is_asked_about_every_poll_sec(fake_ray: FakeRay, step_sec: float) -> None:
    asking_calls(fake_ray, step_sec, calls=int(60 / step_sec))
    pauses = [after - before for before, after in zip(fake_ray.asked_at, fake_ray.asked_at[1:], strict=False)]
    assert max(pauses) <= POLL_SEC + 1e-6
    assert pauses[-1] > 0.8 * POLL_SEC


def test_steps_longer_than_poll_sec_ask_each_time(fake_ray: FakeRay) -> None:
    assert asking_calls(fake_ray, 3 * POLL_SEC, calls=5) == [0, 1, 2, 3, 4]


def test_one_quick_step_does_not_put_off_the_next_question(fake_ray: FakeRay) -> None:
    asking_calls(fake_ray, 1e-6, calls=1)
    assert fake_ray.shared == [2]


def test_a_rank_of_another_pace_asks_at_the_same_calls_as_rank_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    zero = FakeRay()
    zero.install(monkeypatch)
    calls = asking_calls(zero, 0.05, 500)
    other = FakeRay(iter(zero.shared))
    other.install(monkeypatch)
    assert asking_calls(other, 0.9, 500) == calls


def test_sigterm_leaves_the_number_of_questions_alone(
    fake_ray: FakeRay, alarms: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank that skipped one would leave the others waiting for it."""
    calls = asking_calls(fake_ray, 0.1, 100)
    told = FakeRay()
    told.install(monkeypatch)
    preemption._sigterm.set()
    notice = StopNotice()
    for _ in range(100):
        told.now += 0.1
        assert notice()
    assert len(told.asked_at) == len(calls)


def test_a_stopped_rank_waits_for_the_others_and_tells_ray_of_a_preemption(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited = []
    monkeypatch.setattr(ray.train.collective, "barrier", lambda: waited.append(True))
    with pytest.raises(RayActorError, match="asked to stop at step 7") as caught:
        end_stopped(7)
    assert waited
    assert pickle.loads(pickle.dumps(caught.value)).preempted
