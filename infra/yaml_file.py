"""Reading the YAML files that people write."""

from pathlib import Path
from typing import Any

import yaml

from infra.errors import UsageError


def read_yaml(file: Path, *, unreadable: str, name: str | None = None) -> Any:
    """What a YAML or JSON file holds, of whatever type.

    Args:
        file: in UTF-8.
        unreadable: what to do where the file cannot be read, for the error.
        name: of the file in errors; None = its path.

    Raises:
        UsageError: it cannot be read, or is not YAML.
    """
    name = name or str(file)
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageError(f"{name}: {err.strerror}; {unreadable}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        reason = " ".join(str(err).split())
        raise UsageError(f"{name}: not valid YAML ({reason}); correct it there") from err
