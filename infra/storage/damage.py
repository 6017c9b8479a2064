"""Stored records that somebody changed, cut off or wrote with a newer agan: a sentence each, and none hides another."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from infra.errors import DataError, NotFoundError

Name = TypeVar("Name")
Item = TypeVar("Item")
Told = Callable[[str], object]
"""Takes the sentence of a damaged record."""


def stored_json(data: bytes, name: str, remake: str) -> Any:
    """What a stored JSON record holds.

    Args:
        data: of the record.
        name: how messages call it.
        remake: what to do about one that is damaged.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise DataError(f"{name}: is damaged ({err}); {remake}") from err


def refuse(sentence: str) -> None:
    """Ends at the first damaged record; a `Told` for those who need all of them."""
    raise DataError(sentence)


def sound(names: Iterable[Name], load: Callable[[Name], Item], on_damaged: Told) -> Iterator[Item]:
    """The records that can be read; `on_damaged` is told of the others."""
    for name in names:
        try:
            yield load(name)
        except (DataError, NotFoundError) as err:
            on_damaged(str(err))
