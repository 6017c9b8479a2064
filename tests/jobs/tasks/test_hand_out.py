"""Every task is done by somebody, whoever is lost on the way; answers are values here, without a Ray cluster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from ray.exceptions import RayActorError

from jobs.tasks.hand_out import hand_out

TASKS = range(20)
AT_A_TIME = 2


@dataclass(frozen=True, eq=False)
class Answer:
    """What a call returns, the error that it raises, or NEVER."""

    value: object


NEVER = object()


@dataclass(frozen=True)
class Method:
    call: Callable[..., object]

    def remote(self, *args: int) -> Answer:
        return Answer(self.call(*args))


@dataclass
class Actor:
    """Makes (name, task).

    Attributes:
        losses: how often it is lost with a task before it makes any.
        ready_at_first, ready_again: what its `ready` answers before and after a loss.
        given: the tasks that it got.
    """

    name: str
    losses: int = 0
    ready_at_first: object = None
    ready_again: object = None
    given: list[int] = field(default_factory=list)

    @property
    def make(self) -> Method:
        return Method(self._make)

    @property
    def ready(self) -> Method:
        return Method(lambda: self.ready_again if self.given else self.ready_at_first)

    def _make(self, task: int) -> object:
        self.given.append(task)
        if self.losses:
            self.losses -= 1
            return RayActorError()
        return (self.name, task)


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(answers: Sequence[Answer], num_returns: int) -> tuple[list[Answer], list[Answer]]:
        assert num_returns == 1
        return [next(answer for answer in answers if answer.value is not NEVER)], []

    def get(answer: Answer) -> object:
        if isinstance(answer.value, Exception):
            raise answer.value
        return answer.value

    monkeypatch.setattr("ray.wait", wait)
    monkeypatch.setattr("ray.get", get)


def done(*actors: Actor) -> list[int]:
    return sorted(task for _, task in hand_out(actors, TASKS, AT_A_TIME))


def test_every_task_is_done_once() -> None:
    actors = [Actor("a"), Actor("b"), Actor("c")]
    assert done(*actors) == list(TASKS)
    assert sorted(task for actor in actors for task in actor.given) == list(TASKS)


def test_an_actor_has_no_more_tasks_than_it_may() -> None:
    actor = Actor("a")
    handed = hand_out([actor], TASKS, AT_A_TIME)
    for number in range(5):
        next(handed)
        assert len(actor.given) <= number + AT_A_TIME


def test_the_tasks_of_a_lost_actor_are_done_and_it_gets_others_once_it_is_ready() -> None:
    lost, other = Actor("lost", losses=2), Actor("other")
    assert done(lost, other) == list(TASKS)
    assert len(lost.given) > AT_A_TIME


def test_nobody_waits_for_an_actor_that_finds_no_node_again() -> None:
    lost, other = Actor("lost", losses=2, ready_again=NEVER), Actor("other")
    assert done(lost, other) == list(TASKS)
    assert len(lost.given) == AT_A_TIME


def test_an_actor_that_has_no_node_yet_gets_no_task() -> None:
    absent, other = Actor("absent", ready_at_first=NEVER), Actor("other")
    assert done(absent, other) == list(TASKS)
    assert absent.given == []


def test_an_actor_that_was_lost_too_often_is_given_up_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    lost, other = Actor("lost", losses=2, ready_again=RayActorError()), Actor("other")
    assert done(lost, other) == list(TASKS)
    assert len(lost.given) == AT_A_TIME
    assert capsys.readouterr().out == "warning: a worker was lost too often and is given up; the others go on\n"


def test_the_work_ends_when_all_actors_were_lost_too_often() -> None:
    with pytest.raises(RayActorError):
        done(*(Actor(name, losses=2, ready_again=RayActorError()) for name in ("a", "b")))


def test_an_actor_that_cannot_begin_ends_the_work() -> None:
    """What is wrong with the model or the data is wrong for all; nobody waits for those that have no node yet."""
    refused = RayActorError(actor_init_failed=True)
    with pytest.raises(RayActorError):
        done(Actor("a", ready_at_first=refused), Actor("absent", ready_at_first=NEVER))


def test_an_error_of_the_work_ends_it() -> None:
    actor = Actor("a")
    actor._make = lambda task: ValueError("bad data")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="bad data"):
        done(actor)


def test_without_tasks_nobody_is_asked() -> None:
    assert list(hand_out([], [], AT_A_TIME)) == []
