"""The tables that experts fill in: their ratings of expert masks, and who they are."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from anomaly_gan.masks.rating.fuzzy import Triangle, to_triangle
from anomaly_gan.records import Record
from infra.errors import DataError

YES_NO: Mapping[str, bool] = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class ExpertEntry(Record):
    """One who rates; a senior expert can veto."""

    name: str
    weight: float = Field(default=1, gt=0)
    senior: bool


class Rating(Record):
    """What one expert says of one mask; `text` is as given, `triangle` how it was read."""

    mask: str
    expert: str
    text: str
    triangle: Triangle


def read_ratings(text: str, name: str) -> list[Rating]:
    """Read a CSV table with the columns `mask`, `expert` and `score` (see `to_triangle`); others are passed over.

    A line with an empty score stands for a mask that the expert did not rate.

    Args:
        text: the file, with a header line.
        name: how messages call the file.

    Raises:
        DataError: a column is missing, a cell is wrong, an expert rates a mask twice, or there is no rating.
    """
    lines: dict[tuple[str, str], str] = {}
    ratings = []
    for where, row in _rows(text, name, ("mask", "expert", "score")):
        mask, expert, score = _filled(row, "mask", where), _filled(row, "expert", where), row["score"]
        if not score:
            continue
        earlier = lines.setdefault((mask, expert), where)
        if earlier != where:
            raise DataError(f"{where}: expert {expert} rates mask {mask} again, as in {earlier}; keep one line")
        try:
            triangle = to_triangle(score)
        except DataError as err:
            raise DataError(f"{where}: score {err}") from err
        ratings.append(Rating(mask=mask, expert=expert, text=score, triangle=triangle))
    if not ratings:
        raise DataError(f"{name}: has no rating; fill in at least one score")
    return ratings


def read_experts(text: str, name: str) -> list[ExpertEntry]:
    """Read a CSV table with the columns `expert`, `weight` (empty = 1) and `senior` (yes or no).

    Args:
        text: the file, with a header line.
        name: how messages call the file.

    Raises:
        DataError: a column is missing, a cell is wrong, an expert stands twice, or there is none.
    """
    experts: dict[str, ExpertEntry] = {}
    for where, row in _rows(text, name, ("expert", "weight", "senior")):
        expert, senior = _filled(row, "expert", where), YES_NO.get(row["senior"].casefold())
        if expert in experts:
            raise DataError(f"{where}: expert {expert} stands twice in the table; keep one line")
        if senior is None:
            raise DataError(f"{where}: senior must be yes or no, got {row['senior']!r}")
        experts[expert] = ExpertEntry(name=expert, weight=_weight(row["weight"], where), senior=senior)
    if not experts:
        raise DataError(f"{name}: has no expert; add a line for each")
    return list(experts.values())


def _filled(row: Mapping[str, str], column: str, where: str) -> str:
    if not row[column]:
        raise DataError(f"{where}: column {column!r} is empty; fill it in")
    return row[column]


def _weight(text: str, where: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise DataError(f"{where}: weight must be a number above 0, got {text!r}; leave it empty for 1")
    return weight


def _rows(text: str, name: str, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """(file and line, column -> cell without outer spaces) of every line that is not blank."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [cell.strip().casefold() for cell in next(reader, [])]
        for column in columns:
            if header.count(column) != 1:
                raise DataError(
                    f"{name}: needs one column {column!r}, its first line is {','.join(header)!r};"
                    f" begin the file with {','.join(columns)}"
                )
        for cells in reader:
            where = f"{name}, line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{where}: has {len(cells)} cells, the first line {len(header)}; put a cell with a comma in quotes"
                )
            yield where, {column: cells[header.index(column)].strip() for column in columns}
    except csv.Error as err:
        raise DataError(f"{name}, line {reader.line_num}: is not CSV ({err}); close every quote") from err
