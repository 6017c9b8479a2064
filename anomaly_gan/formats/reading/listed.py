"""Pictures that annotation files list by name, as COCO's and CVAT's do: each is found, and read once."""

import posixpath
from collections.abc import Callable, Iterable
from functools import partial

from anomaly_gan.formats.reading.finding import BY_NAME_NOTE, Found, PictureFinder
from anomaly_gan.formats.reading.frames import Instances, Masks, laid
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.pictures import open_picture
from anomaly_gan.formats.reading.source import Picture, SourceItem, SourceTree, items_from, refusal
from infra.errors import DataError


class Listed:
    """Collects what files list; one that cannot be found, or stands twice, is an item that refuses itself."""

    def __init__(self, paths: Iterable[str]) -> None:
        """
        Args:
            paths: of the tree.
        """
        self._finder = PictureFinder(paths)
        self._loaders: dict[str, Callable[[], Picture]] = {}
        self._listed_by: dict[str, str] = {}

    def add(self, reference: str, file: str, load: Callable[[Found], Picture]) -> None:
        """
        Args:
            reference: how the file names the picture.
            file: path of the annotation file.
            load: reads the picture with what is drawn on it.
        """
        try:
            found = self._finder.find(reference, posixpath.dirname(file), file)
            path = found.path
            loader: Callable[[], Picture] = partial(load, found)
        except DataError as err:
            path, loader = f"{file}:{reference}".replace("..", "__"), refusal(str(err))
        if path in self._loaders:
            told = f"is listed twice, by {self._listed_by[path]} and by {file}; list every picture once"
            loader = refusal(f"{path}: {told}")
        self._loaders[path], self._listed_by[path] = loader, file

    def items(self) -> list[SourceItem]:
        return items_from(self._loaders)


def load_drawn(
    tree: SourceTree,
    found: Found,
    file: str,
    stated: tuple[int | None, int | None],
    draw: Callable[[tuple[int, int]], tuple[Masks, Instances]],
    options: ReadingOptions,
) -> Picture:
    """A picture with what a file draws on it; `stated` and `draw` as in `frames.laid`.

    Raises:
        DataError: the picture cannot be read, or has another size than the file says.
    """
    path = found.path
    picture = open_picture(tree.read(path), path, options)
    drawn = laid(picture, stated, draw)
    if drawn is None:
        raise DataError(
            f"{file}: says that {path} has {stated[1]} x {stated[0]} pixels, it has {picture.shape[1]} x"
            f" {picture.shape[0]}; use the pictures that were annotated"
        )
    notes = (*(() if found.is_exact else (BY_NAME_NOTE,)), *drawn.notes)
    return Picture(path, picture.pixels, drawn.masks, drawn.instances, (path, file), notes)
