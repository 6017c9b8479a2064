"""The lists of what can be chosen by name: a name that a list does not have is refused with those that it has."""

from collections.abc import Mapping
from typing import TypeVar

from infra.errors import UsageError

Entry = TypeVar("Entry")


def find(entries: Mapping[str, Entry], name: str, unknown: str) -> Entry:
    """The entry of a name.

    Args:
        entries: a list such as `READERS` or `DETECTORS`.
        name: what the user wrote.
        unknown: how the refusal begins, for example "--format: unknown format": where the name stands, and of what.

    Raises:
        UsageError: there is no such entry.
    """
    if name not in entries:
        raise UsageError(f"{unknown}, got {name!r}; use one of {', '.join(entries)}")
    return entries[name]
