"""Reading the YAML files that people write."""

from pathlib import Path
from typing import Any

import yaml

from infra.errors import UsageError

LONGEST = 1 << 20
"""Characters of a file; people write less."""
DEEPEST = 32
"""Lists and mappings within each other."""
MOST_ALIASES = 16
"""References to anchors; a few, each to a few others, stand for more than a memory holds."""


def read_yaml(file: Path, *, unreadable: str, name: str | None = None) -> Any:
    """What a YAML or JSON file holds, of whatever type.

    Args:
        file: in UTF-8.
        unreadable: what to do where the file cannot be read, for the error.
        name: of the file in errors; None = its path.

    Raises:
        UsageError: it cannot be read, is not YAML, or is longer or deeper than people write.
    """
    name = name or str(file)
    try:
        with file.open(encoding="utf-8-sig") as opened:
            text = opened.read(LONGEST + 1)
        _refuse_bombs(text, name)
        return yaml.safe_load(text)
    except OSError as err:
        raise UsageError(f"{name}: {err.strerror}; {unreadable}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        reason = " ".join(str(err).split())
        raise UsageError(f"{name}: not valid YAML ({reason}); correct it there") from err
    except (ValueError, RecursionError) as err:  # a number, or a date, that Python cannot hold
        raise UsageError(f"{name}: holds a value that cannot be read ({str(err)[:80]}); correct it there") from err


def _refuse_bombs(text: str, name: str) -> None:
    if len(text) > LONGEST:
        raise UsageError(f"{name}: has more than {LONGEST >> 20} MiB of text; name a file that a person wrote")
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > DEEPEST:
            raise UsageError(f"{name}: lists and mappings lie more than {DEEPEST} deep; write it flat")
        if aliases > MOST_ALIASES:
            raise UsageError(f"{name}: has more than {MOST_ALIASES} aliases (*name); write the values out")
