"""JSON that other programs wrote -> records."""

import codecs
import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from anomaly_gan.formats.reading.source import SourceTree
from infra.errors import DataError

Model = TypeVar("Model", bound=BaseModel)

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def text_of(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, or what a byte-order mark at its beginning says.

    Raises:
        DataError: neither; begins with `name`.
    """
    mark, encoding = next(((mark, encoding) for mark, encoding in MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        return data.removeprefix(mark).decode(encoding)
    except UnicodeDecodeError as err:
        raise DataError(f"{name}: not UTF-8 text ({err.reason}); save it as UTF-8") from err


def parse_json(model: type[Model], data: bytes, name: str, kind: str) -> Model:
    """Read a JSON file into `model`.

    Args:
        model: form of the file.
        data: of the file.
        name: how messages call it.
        kind: what it should be, as "a labelme file".

    Raises:
        DataError: no JSON, or of another form; begins with `name`.
    """
    try:
        return model.model_validate_json(text_of(data, name))
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{name}: not {kind}: {where}: {first['msg']}; mend or remove it") from err


LOOKED_AT = 20
"""Files that are enough to tell what a tree's annotations are."""


def first_keys(tree: SourceTree) -> Iterator[frozenset[str]]:
    """The keys of the first JSON files of a tree; broken ones are passed over."""
    for path in islice((path for path in tree.paths() if is_json(path)), LOOKED_AT):
        with suppress(DataError):
            yield keys_of(tree.read(path), path)


def is_json(path: str) -> bool:
    return path.lower().endswith(".json")


def keys_of(data: bytes, name: str) -> frozenset[str]:
    """The keys at the top of a JSON file; none where it holds no mapping.

    Raises:
        DataError: no JSON; begins with `name`.
    """
    try:
        content = json.loads(text_of(data, name))
    except (ValueError, RecursionError) as err:
        raise DataError(f"{name}: not JSON ({err}); mend or remove it") from err
    return frozenset(content) if isinstance(content, dict) else frozenset()
