"""Tasks handed to Ray actors, few at a time; what a lost actor had under way is done by the others."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError


def hand_out(actors: Sequence[Any], tasks: Iterable[int], at_a_time: int) -> Iterator[Any]:
    """What `actor.make.remote(task)` returns, in the order in which tasks are done; some may be done twice.

    Nobody waits for an actor that was lost, whether or not there is a node left for it: it gets tasks again once Ray
    has started it again and its `ready` answers, which Ray must repeat as long as it takes.

    Args:
        at_a_time: tasks of one actor.

    Raises:
        RayActorError: an actor was lost more often than Ray may start it again.
    """
    fresh = iter(tasks)
    lost: list[int] = []
    idle: list[Any] = list(actors) * at_a_time
    busy: dict[Any, tuple[Any, int]] = {}
    starting: dict[Any, Any] = {}
    while True:
        while idle and (task := lost.pop() if lost else next(fresh, None)) is not None:
            actor = idle.pop()
            busy[actor.make.remote(task)] = (actor, task)
        if not busy and not lost:
            return
        [answer], _ = ray.wait([*starting, *busy], num_returns=1)
        if answer in starting:
            actor = starting.pop(answer)
            ray.get(answer)
        else:
            actor, task = busy.pop(answer)
            try:
                made = ray.get(answer)
            except RayActorError:
                lost.append(task)
                starting[actor.ready.remote()] = actor
                continue
            yield made
        idle.append(actor)
