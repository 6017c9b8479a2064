"""Which picture of a tree an annotation means that another program wrote, often on another machine."""

import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

from anomaly_gan.formats.reading.pictures import is_picture
from anomaly_gan.samples.path_names import plain
from infra.errors import DataError

BY_NAME_NOTE = "are named by paths that are not here, and were found by the end of their path"


class Found(NamedTuple):
    """A picture, and whether it lies where the reference says."""

    path: str
    is_exact: bool


class PictureFinder:
    """Looks pictures of a tree up.

    Slashes of both kinds are read, and the two Unicode forms of an accented letter (NFC, NFD) are one.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for path in filter(is_picture, paths):
            self._paths.setdefault(plain(path), path)
            self._by_name.setdefault(posixpath.basename(plain(path)), []).append(path)
            self._by_stem.setdefault(posixpath.splitext(plain(path))[0], []).append(path)

    def find(self, reference: str, base: str, name: str) -> Found:
        """The picture that `reference` means when written in a file of folder `base`.

        It lies where the reference says, from `base` or from the top, or it is the one whose path ends like that.
        A path of another machine (absolute, with a drive, or leading out of the tree) has lost its beginning: it means
        the one picture that shares most of the end of its path.

        Raises:
            DataError: the tree holds none of that name, or several that fit equally well; begins with `name`.
        """
        written = plain(reference)
        for place in (plain(posixpath.join(base, written)), written):
            if place in self._paths:
                return Found(self._paths[place], is_exact=True)
        wanted = _parts(written)
        namesakes = self._by_name.get(wanted[-1], []) if wanted else []
        shared = {path: _shared_end(_parts(plain(path)), wanted) for path in namesakes}
        least = 1 if _is_elsewhere(written, base) else len(wanted)
        best = [path for path in namesakes if shared[path] == max(least, *shared.values())]
        if len(best) == 1:
            return Found(best[0], is_exact=shared[best[0]] == len(wanted))
        found = f"{len(best)} pictures of that name" if best else "no picture of that name"
        if namesakes and not best:
            found = f"{namesakes[0]} instead"
        raise DataError(f"{name}: names {reference!r}, but the imported folder holds {found}; mend the path")

    def siblings(self, path: str) -> list[str]:
        """Pictures of the folder and stem of `path`, which is another file, in order."""
        return sorted(self._by_stem.get(posixpath.splitext(plain(path))[0], []))


def _is_elsewhere(reference: str, base: str) -> bool:
    """Does the reference, with slashes, lead out of the tree?"""
    has_root = re.match(r"/|[A-Za-z]:", reference)
    return bool(has_root or re.match(r"\.\.(/|$)", posixpath.normpath(posixpath.join(base, reference))))


def _parts(path: str) -> list[str]:
    """Folders and name, without a drive and without what leads upwards."""
    without_drive = re.sub(r"^[A-Za-z]:", "", path)
    return [part for part in without_drive.split("/") if part not in ("", ".", "..")]


def _shared_end(path: list[str], wanted: list[str]) -> int:
    pairs = zip(reversed(path), reversed(wanted), strict=False)
    differing = (number for number, (one, other) in enumerate(pairs) if one != other)
    return next(differing, min(len(path), len(wanted)))
