"""A worker of a generate job as a process of its own, without Ray."""

from collections.abc import Sequence
from typing import Any

from jobs.generate.shard_maker import ShardMaker
from jobs.record.context import context_from_plain
from jobs.spec.specs import GenerateSpec


def make_tasks(raw: dict[str, Any], tasks: Sequence[int]) -> None:
    maker = ShardMaker(context_from_plain(raw, GenerateSpec))
    for task in tasks:
        maker.make(task)
