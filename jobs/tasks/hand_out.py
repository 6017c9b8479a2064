"""Hands tasks to Ray actors, few at a time; what a lost actor had under way is done by the others."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError


def hand_out(actors: Sequence[Any], tasks: Iterable[int], at_a_time: int, *, cluster: Any = ray) -> Iterator[Any]:
    """What `actor.make.remote(task)` returns, in the order in which tasks are done; a lost task is done again.

    An actor gets tasks while it lives: once its `ready` has answered, which Ray must repeat as long as it takes, and
    not after a loss until it answers again. So nobody waits for an actor that has no node. An actor that was lost more
    often than Ray may start it again is given up, and the others go on.

    Args:
        at_a_time: tasks that one actor has at a time.
        cluster: has the `wait` and `get` that know the actors' answers; Ray, or what stands for it in tests and
            benchmarks.

    Raises:
        RayActorError: no actor is left, or one could not even begin, as then none can.
    """
    waiting = deque(tasks)
    # an actor has `at_a_time` slots: in `starting` while its `ready` has not answered, in `idle` once it has, and in
    # `busy` with a task; both dicts are by the answer that is awaited
    idle: list[Any] = []
    given_up: list[Any] = []
    busy: dict[Any, tuple[Any, int]] = {}
    starting = {actor.ready.remote(): actor for actor in actors for _ in range(at_a_time)}
    while waiting or busy:
        while idle and waiting:
            actor, task = idle.pop(), waiting.popleft()
            busy[actor.make.remote(task)] = (actor, task)
        [answer], _ = cluster.wait([*starting, *busy], num_returns=1)
        if answer in starting:
            actor = starting.pop(answer)
            try:
                cluster.get(answer)
            except RayActorError as err:
                # every actor begins in the same way, so where one cannot, none can
                if err.actor_init_failed or not (starting or busy or idle):
                    raise
                if actor not in given_up:  # each of its slots comes here
                    given_up.append(actor)
                    print("warning: a worker was lost too often and is given up; the others go on", flush=True)
                continue
            idle.append(actor)
            continue
        actor, task = busy.pop(answer)
        try:
            made = cluster.get(answer)
        except RayActorError:
            # the lost task goes first, and the slot waits until the actor lives again
            waiting.appendleft(task)
            starting[actor.ready.remote()] = actor
            continue
        yield made
        idle.append(actor)
