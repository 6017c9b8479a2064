"""Checkpoints in the store: the last two are kept; the index names only complete ones.

Each holds the weights that the run would publish, so that no earlier one is needed for them.
"""

import json
from pathlib import Path
from typing import Any

from infra.errors import DataError, NotFoundError
from infra.storage.damage import stored_json
from infra.storage.digest import sha256_file
from infra.storage.protocol import Storage

KEEP_LAST = 2

ADVICE = "train again, or copy the index of a backup there"


class CheckpointStore:
    """Checkpoints below one prefix, written by one process.

    <prefix>/<step>.pt
    <prefix>/index.json   [{"step", "sha256"}, ...] by step
    """

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    def entries(self) -> list[dict[str, Any]]:
        key = f"{self._prefix}/index.json"
        try:
            listed: list[dict[str, Any]] = stored_json(self._storage.read(key), key, ADVICE)
        except NotFoundError:
            return []
        is_sound = isinstance(listed, list) and all(isinstance(entry, dict) and "step" in entry for entry in listed)
        if not is_sound:
            raise DataError(f"{key}: is damaged (it lists no checkpoints); {ADVICE}")
        return listed

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint that is there; one that somebody removed is passed over."""
        steps = [int(entry["step"]) for entry in self.entries()]
        return next((step for step in reversed(steps) if self._storage.exists(self._key(step))), None)

    def save(self, step: int, path: Path) -> None:
        """Upload a checkpoint, name it in the index, then remove those before the last two."""
        self._storage.upload(path, self._key(step))
        older = [entry for entry in self.entries() if entry["step"] < step]
        kept = [*older, {"step": step, "sha256": sha256_file(path)}][-KEEP_LAST:]
        self._storage.write(f"{self._prefix}/index.json", json.dumps(kept, indent=1).encode())
        named = {self._key(entry["step"]) for entry in kept}
        for stored in self._storage.list(f"{self._prefix}/"):
            if stored.key.endswith(".pt") and stored.key not in named:
                self._storage.delete(stored.key)

    def load(self, step: int, path: Path) -> None:
        """Download the checkpoint of a step.

        Raises:
            DataError: its sha256 is not the index's.
        """
        self._storage.download(self._key(step), path)
        expected = next(entry["sha256"] for entry in self.entries() if entry["step"] == step)
        if sha256_file(path) != expected:
            raise DataError(f"{self._key(step)}: sha256 differs from the index; remove it to go on from the one before")

    def _key(self, step: int) -> str:
        return f"{self._prefix}/{step:08d}.pt"
