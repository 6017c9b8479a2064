"""The names of pictures, as files written elsewhere give them -> the samples of a data set."""

import posixpath
import re
from collections.abc import Callable, Mapping

from anomaly_gan.formats.reading.pictures import stem
from infra.errors import DataError

Sources = Mapping[str, tuple[str, int, int]]
"""Sample key -> (path of its picture in the imported folder, width and height of the sample in px)."""


class PictureIndex:
    """Finds the sample that a name means."""

    def __init__(self, sources: Sources) -> None:
        self._by_stem: dict[str, list[tuple[str, str]]] = {}
        for key, (path, _, _) in sources.items():
            self._by_stem.setdefault(stem(path), []).append((key, path))

    def key(self, image: str, name: str) -> str:
        """The key of the one sample whose picture has this path, or else ends in it, or else shares its stem.

        Paths are compared with their suffix first, then without it, so that regions and annotations may be of
        another format than the pictures.

        Args:
            image: a path with either slash; a leading `../` is passed over.
            name: where it is written; messages begin with it.

        Raises:
            DataError: no picture fits, or several do.
        """
        wanted = re.sub(r"^(\.\./)+", "", posixpath.normpath(image.replace("\\", "/")))
        namesakes = self._by_stem.get(stem(wanted), [])
        found = next(filter(None, ([s for s in namesakes if fits(s[1])] for fits in _tests(wanted))), [])
        if not found:
            raise DataError(f"{name}: {image!r} fits no picture of the data set; name it as in the imported folder")
        if len(found) > 1:
            (_, one), (_, other) = found[:2]
            raise DataError(
                f"{name}: {image!r} fits {len(found)} pictures of the data set, such as {one} and {other};"
                " write more of its path"
            )
        return found[0][0]


def _tests(wanted: str) -> tuple[Callable[[str], bool], ...]:
    """What to ask of a path with the wanted stem, strictest first."""
    bare = posixpath.splitext(wanted)[0]
    return (
        lambda path: path == wanted,
        lambda path: path.endswith(f"/{wanted}"),
        lambda path: posixpath.splitext(path)[0] == bare,
        lambda path: posixpath.splitext(path)[0].endswith(f"/{bare}"),
        lambda path: True,
    )
