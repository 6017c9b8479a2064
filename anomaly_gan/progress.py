"""How work on many items reports how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (items done, items)."""


def unreported(done: int, total: int) -> None:
    """A `Progress` for callers that do not want to know."""
