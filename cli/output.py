"""Everything that is printed: text or JSON on stdout, progress and errors on stderr."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import typer

from infra.errors import UsageError


class Update(Protocol):
    """Reports how far the work is; a description replaces the one before."""

    def __call__(self, done: int, total: int, description: str | None = None, /) -> None: ...


PLAIN_PROGRESS_SHARE = 0.1


def shown(text: str) -> str:
    """Text with what a terminal would obey, or cannot show, written out: names of files are made by anybody."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def emit(data: Any, text: str, as_json: bool) -> None:
    """Print `data` as JSON or `text` as it is."""
    typer.echo(json.dumps(data, indent=2, default=str) if as_json else shown(text))


def note(text: str) -> None:
    """A line for the person watching; never part of the output that a program reads."""
    print(shown(text), file=sys.stderr)  # a running bar redirects sys.stderr, and so keeps its line


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns padded to their widest cell; readable without a terminal."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user named.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as err:
        raise UsageError(f"{path}: cannot be written ({err.strerror}); name a file in a folder of yours") from err


@contextmanager
def progress(description: str) -> Iterator[Update]:
    """A bar with the time left on a terminal, a line per tenth elsewhere; call the result with (done, total)."""
    if not sys.stderr.isatty():
        yield _plain(description)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=None)

        def update(done: int, total: int, text: str | None = None, /) -> None:
            bar.update(task, completed=done, total=total, description=text)

        yield update


def _plain(description: str) -> Update:
    printed: tuple[str, float] = (description, -PLAIN_PROGRESS_SHARE)

    def update(done: int, total: int, text: str | None = None, /) -> None:
        nonlocal printed
        shown, last = printed
        share = done / total if total else 1.0
        if text not in (None, shown):
            shown, last = str(text), -PLAIN_PROGRESS_SHARE
        if share >= last + PLAIN_PROGRESS_SHARE or (share >= 1.0 > last):
            printed = (shown, share)
            note(f"{shown}: {done}/{total}")

    return update
