"""Versioned things in the store: data sets and mask pools.

    ROOT/NAME/VERSION/index.json     everything but the pixels
    ROOT/NAME/VERSION/*.tar          shards
    ROOT/NAME/latest.json            {"version": ...}, written last

A version is a digest of the content: the same content has the same version. Older versions stay.
"""

import json
import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from anomaly_gan.masks.pool.index import MaskPoolIndex
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import DataError, NotFoundError, UsageError
from infra.storage.protocol import Storage

LATEST = "latest.json"
INDEX = "index.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


Index = TypeVar("Index", DatasetIndex, MaskPoolIndex)


@dataclass(frozen=True)
class Shelf(Generic[Index]):
    """All things of one kind.

    Attributes:
        kind: how messages call one of them.
        root: prefix of their keys, with a slash at its end.
        model: of their indexes.
        remake: what to do about one that is damaged.
    """

    kind: str
    root: str
    model: type[Index]
    remake: str

    def check_name(self, name: str) -> str:
        """Raises:
        UsageError: it cannot name one of them.
        """
        if not NAME.fullmatch(name):
            raise UsageError(f"{self.kind} name: lower-case letters, digits, '_' and '-' only, got {name!r}; rename it")
        return name

    def key(self, index: Index, file: str) -> str:
        return f"{self.root}{index.name}/{index.version}/{file}"

    def publish(self, storage: Storage, index: Index) -> None:
        """Write the index of a version whose shards are there, and make it the latest."""
        storage.write(self.key(index, INDEX), index.model_dump_json(indent=1).encode())
        storage.write(f"{self.root}{index.name}/{LATEST}", json.dumps({"version": index.version}).encode())

    def names(self, storage: Storage) -> list[str]:
        suffix = f"/{LATEST}"
        keys = (entry.key for entry in storage.list(self.root))
        return [key.removeprefix(self.root).removesuffix(suffix) for key in keys if key.endswith(suffix)]

    def versions(self, storage: Storage, name: str) -> list[str]:
        """NAME@VERSION of all versions of a name, or all names where there is none of it."""
        keys = (entry.key.removeprefix(self.root) for entry in storage.list(f"{self.root}{name}/"))
        found = [key.removesuffix(f"/{INDEX}").replace("/", "@") for key in keys if key.endswith(f"/{INDEX}")]
        return found or self.names(storage)

    def load(self, storage: Storage, name: str) -> Index:
        """The index of NAME (its latest version) or NAME@VERSION.

        Raises:
            UsageError: not a name.
            NotFoundError: no such name or version; the message lists those there are.
            DataError: the index cannot be read.
        """
        plain, _, version = name.partition("@")
        self.check_name(plain)
        try:
            if not version:
                version = json.loads(storage.read(f"{self.root}{plain}/{LATEST}"))["version"]
            data = storage.read(f"{self.root}{plain}/{version}/{INDEX}")
        except NotFoundError as err:
            there = ", ".join(self.versions(storage, plain) if version else self.names(storage)) or "none"
            raise NotFoundError(f"{self.kind} {name}: not in {storage.uri}; there are: {there}") from err
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            raise DataError(f"{self.kind} {name}: {LATEST} is damaged; {self.remake}") from err
        try:
            return self.model.model_validate_json(data)
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise DataError(f"{self.kind} {name}: {INDEX}: {where}: {first['msg']}; {self.remake}") from err
