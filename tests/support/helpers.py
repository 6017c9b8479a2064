"""What several tests share: the one way to call the CLI, and the in-memory store."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.errors import NotFoundError
from infra.storage.protocol import StoredObject, Unfinished, check_key, check_prefix

ROOT = Path(__file__).resolve().parents[2]
"""Of the repository."""
TEST_DATA = Path(os.environ.get("AGAN_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()


class MemoryStorage:
    """A `Storage` in a dict, for tests; assert on `objects`, and put into `uploads` what nobody completed.

    Attributes:
        modified: key -> when it was written, seconds since 1970; set it back to make an object old.
        was_read: keys of the objects that were read, in order.
    """

    def __init__(self, uri: str = "memory://store") -> None:
        self.uri = uri
        self.objects: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.uploads: list[Unfinished] = []
        self.was_read: list[str] = []
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes:
        self.was_read.append(key)
        try:
            return self.objects[check_key(key)]
        except KeyError as err:
            raise NotFoundError(f"{self.url(key)}: no such object in the store") from err

    def write(self, key: str, data: bytes) -> None:
        self.objects[check_key(key)] = bytes(data)
        self.modified[key] = time.time()

    def create(self, key: str, data: bytes) -> bool:
        with self._lock:
            if key in self.objects:
                return False
            self.write(key, data)
        return True

    def upload(self, path: Path, key: str) -> None:
        self.write(key, path.read_bytes())

    def download(self, key: str, path: Path) -> None:
        path.write_bytes(self.read(key))

    def exists(self, key: str) -> bool:
        return check_key(key) in self.objects

    def list(self, prefix: str) -> list[StoredObject]:
        check_prefix(prefix)
        return [
            StoredObject(k, len(v), self.modified.get(k, time.time()))
            for k, v in sorted(self.objects.items())
            if k.startswith(prefix)
        ]

    def delete(self, key: str) -> None:
        self.objects.pop(check_key(key), None)

    def unfinished(self, prefix: str) -> Sequence[Unfinished]:
        return [upload for upload in self.uploads if upload.key.startswith(prefix)]

    def abandon(self, upload: Unfinished) -> None:
        self.uploads.remove(upload)

    def url(self, key: str) -> str:
        return f"{self.uri}/{check_key(key)}"


def run_cli(args: list[str], exit_code: int = 0, env: dict[str, str] | None = None) -> Any:
    """Run `agan ARGS` in this process; asserts the exit code; the result has .stdout and .stderr."""
    from typer.testing import CliRunner

    from cli.main import app

    result = CliRunner().invoke(app, args, env=env, prog_name="agan")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code, f"exit {result.exit_code}\n{result.stdout}\n{result.stderr}"
    return result
