"""What starting Ray needs, here or in the cloud: its command and a token."""

import os
import secrets
import sys
from pathlib import Path

from infra.errors import ClusterError, UsageError


def ray_program() -> str:
    """The `ray` command of this very environment.

    Raises:
        ClusterError: it is not there.
    """
    program = Path(sys.executable).with_name("ray")
    if not program.exists():
        raise ClusterError(f"{program}: Ray's command is not there; install agan again in this environment")
    return str(program)


def ensure_token(path: Path) -> None:
    """Make sure of a token at this path that only its owner can read; an existing one is kept.

    Raises:
        UsageError: the file is there but empty.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)  # Ray's own command leaves it readable by all
        if not path.read_text(encoding="utf-8").strip():
            raise UsageError(f"{path}: the token file is empty; delete it, and a new one is made") from None
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))
