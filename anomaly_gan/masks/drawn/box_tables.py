"""Boxes in a CSV file: a header, then one box a line.

left, top, width and height are in px and may be decimal. image_width and image_height state the size of the picture
that the box was drawn on. Other columns are allowed.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from anomaly_gan.masks.drawn.canvas import Box, check_box, check_size, refuse_outside
from infra.errors import DataError

BOX_COLUMNS = ("left", "top", "width", "height")
SIZE_COLUMNS = ("image_width", "image_height")


@dataclass(frozen=True)
class BoxLine:
    """One line of the table.

    Attributes:
        number: of the line in the file; the header is line 1.
        name: how messages call it.
        cells: column -> text.
        box: checked; reaches into the picture where its size is stated.
        size: (width, height) of the picture in px; None = not stated.
    """

    number: int
    name: str
    cells: Mapping[str, str]
    box: Box
    size: tuple[int, int] | None


def is_table(path: str) -> bool:
    return path.lower().endswith(".csv")


def to_text(data: bytes, name: str) -> str:
    """Raises DataError where a table is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise DataError(f"{name}: is not UTF-8 text ({err.reason}); save it as CSV in UTF-8") from err


def read_boxes(text: str, name: str, columns: Sequence[str]) -> Iterator[BoxLine]:
    """The lines of a table.

    Args:
        text: of the file.
        name: how messages call it.
        columns: needed in every line, BOX_COLUMNS among them.

    Raises:
        DataError: no line, a column or cell is missing, or a box that is none; names the line.
    """
    rows = csv.DictReader(text.removeprefix("\ufeff").splitlines(), skipinitialspace=True)
    empty = True
    try:
        for column in columns:
            if column not in (rows.fieldnames or ()):
                raise DataError(f"{name}: line 1: has no column {column!r}; the header needs {','.join(columns)}")
        for cells in rows:
            empty = False
            yield _line(cells, rows.line_num, f"{name}: line {rows.line_num}", columns)
    except csv.Error as err:
        raise DataError(f"{name}: line {rows.line_num + 1}: is no CSV ({err}); mend it") from err
    if empty:
        raise DataError(f"{name}: holds no box; add a line or remove the file")


def _line(cells: dict[str, str], number: int, name: str, needed: Sequence[str]) -> BoxLine:
    if None in cells:  # where csv puts what is left over
        raise DataError(f"{name}: has more cells than the header; write decimals with a point")
    for column in needed:
        if not cells[column]:
            raise DataError(f"{name}: has no {column}; fill it in")
    box = check_box(Box(*(_number(cells, column, name) for column in BOX_COLUMNS)), name)
    size = None
    if any(cells.get(column) for column in SIZE_COLUMNS):
        width, height = (_number(cells, column, name) for column in SIZE_COLUMNS)
        size = check_size(width, height, name)
        refuse_outside(box, size, name)
    return BoxLine(number, name, cells, box, size)


def _number(cells: Mapping[str, str], column: str, name: str) -> float:
    text = cells.get(column) or ""
    try:
        return float(text)
    except ValueError as err:
        raise DataError(f"{name}: {column} must be a number, got {text!r}; mend it") from err
