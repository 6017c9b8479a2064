"""What every reader of an annotated folder takes and gives, and how paths and names become safe."""

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError

SKIPPED_LABELS = ("__ignore__", "_background_")
"""What labelme, and its export to COCO, call that which is no class."""

NORMAL_FOLDERS = ("normal", "good")
"""In formats with a file for each picture, a picture without one is normal in folders of these names."""
MOST_INSTANCES = (1 << 16) - 1
"""Of a class in a picture; instance maps have 16 bits."""
LONGEST_KEY = 150
"""Keys become names of files and of members of a shard; longer ones are cut, and a digest of the path follows."""


class SourceTree(Protocol):
    """A folder somewhere, read only."""

    url: str

    def paths(self) -> list[str]:
        """All files as sorted POSIX paths relative to the folder."""

    def left_out(self) -> list[tuple[str, str]]:
        """(path, why) of what is there but is none of `paths`."""

    def read(self, path: str) -> bytes:
        """Raises NotFoundError where there is no such file, DataError where it is none."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture with its annotation, as the source has it.

    Attributes:
        path: of the picture in the source tree; of the annotation where the picture is embedded in it.
        image: [H, W] grey or [H, W, 3] RGB, uint8 0..255.
        masks: label as written -> [H, W] uint8 {0, 1}, never empty; no label = a normal picture.
        instances: label -> [H, W] uint16, 0 = none; only where the annotation names instances.
        files: every path of the source tree that belongs to the picture.
        notes: what is worth telling of how it was read; a clause that goes on after "N pictures: ".
    """

    path: str
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    instances: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)
    files: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class SourceItem:
    """A picture that is read later.

    Attributes:
        key: unique in the tree; letters, digits, '_' and '-'.
        path: how messages name the item.
        load: reads, decodes and checks the picture; raises DataError with one sentence that names the file.
    """

    key: str
    path: str
    load: Callable[[], Picture]


def items_from(loaders: Mapping[str, Callable[[], Picture]]) -> list[SourceItem]:
    """Items in the order of their paths, with keys; a path that holds `..` is refused when loaded."""
    keys = keys_for(loaders)
    return [
        SourceItem(keys[path], path, refusal(wrong) if (wrong := _wrong(path)) else load)
        for path, load in sorted(loaders.items())
    ]


def refusal(message: str) -> Callable[[], Picture]:
    """A loader for an item that is known to be bad."""

    def load() -> Picture:
        raise DataError(message)

    return load


def keys_for(paths: Iterable[str]) -> dict[str, str]:
    """Path -> key; paths that would share a key, or have a long one, get a digest of the path behind it."""
    plain = {path: _sanitised(posixpath.splitext(path)[0].replace("/", "-")) for path in paths}
    uses = Counter(key.lower() for key in plain.values())  # keys are file names, on some disks without case
    return {
        path: key if uses[key.lower()] == 1 and len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}-{_digest(path)}"
        for path, key in plain.items()
    }


def _digest(path: str) -> str:
    return hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:8]


def _sanitised(text: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    return safe if safe[:1].isalnum() else f"p{safe}"


def resolve(base: str, reference: str, name: str) -> str:
    """The path in the tree that `reference` means when written in a file of folder `base`.

    Raises:
        DataError: it leads out of the tree; the message begins with `name`.
    """
    path = posixpath.normpath(posixpath.join(base, reference.replace("\\", "/")))
    if path == ".." or path.startswith("../"):
        raise DataError(f"{name}: names {reference!r}, which lies outside the imported folder; import its parent")
    return path


def _wrong(path: str) -> str:
    """Why no item may have this path; empty = it may."""
    if ".." in path.split("/"):
        return f"{path}: a path must not hold '..'; rename the file"
    if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
        return f"{ascii(path)[1:-1]}: its name is not UTF-8; rename the file"
    return ""


def combine(
    parts: Iterable[tuple[str, object, NDArray[np.uint8]]], name: str
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.uint16]]]:
    """Unite drawn shapes into one mask and one instance map per label.

    Args:
        parts: (label, identity, [H, W] mask {0, 1}); parts of one label and identity are one instance.
            Of overlapping instances the later one owns the pixel.
        name: how messages call the annotation.

    Raises:
        DataError: all shapes of a label lie outside the picture, or there are too many.
    """
    masks: dict[str, NDArray[np.uint8]] = {}
    instances: dict[str, NDArray[np.uint16]] = {}
    numbers: dict[str, dict[object, int]] = {}
    for label, identity, drawn in parts:
        known = numbers.setdefault(label, {})
        number = known.setdefault(identity, len(known) + 1)
        if number > MOST_INSTANCES:
            raise DataError(f"{name}: has more than {MOST_INSTANCES} anomalies of {label!r}; unite some of them")
        if label not in masks:
            masks[label] = np.zeros(drawn.shape, np.uint8)
            instances[label] = np.zeros(drawn.shape, np.uint16)
        masks[label] |= drawn
        instances[label][drawn > 0] = number
    for label, mask in masks.items():
        if not mask.any():
            raise DataError(f"{name}: the mask of {label!r} is empty; draw it inside the picture or remove it")
    return masks, instances
