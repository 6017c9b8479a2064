"""Pictures whose masks are pictures too: what the mvtec and folder layouts share."""

from collections.abc import Callable
from functools import partial

from anomaly_gan.formats.reading.pictures import decode_mask, decode_picture, stem
from anomaly_gan.formats.reading.source import Picture, SourceTree, refusal


def paired(
    tree: SourceTree, images: list[tuple[str, str]], masks: dict[tuple[str, str], str], *, normal: str
) -> dict[str, Callable[[], Picture]]:
    """Loaders of pictures whose masks are pictures too.

    Args:
        tree: what to read from.
        images: (label, path).
        masks: (label, stem of the image) -> path.
        normal: the label of pictures without mask.
    """
    loaders: dict[str, Callable[[], Picture]] = {}
    unused = dict(masks)
    for label, path in images:
        mask = unused.pop((label, stem(path)), None) if label != normal else None
        if label != normal and mask is None:
            loaders[path] = refusal(f"{path}: has no mask; add one, or move the picture to {normal!r}")
        else:
            loaders[path] = partial(load, tree, path, label, mask)
    for path in unused.values():
        loaders[path] = refusal(f"{path}: the mask has no image; add the image or remove the mask")
    return loaders


def load(tree: SourceTree, path: str, label: str, mask_path: str | None) -> Picture:
    """One picture and, where `mask_path` is not None, its mask under `label`."""
    image = decode_picture(tree.read(path), path)
    if mask_path is None:
        return Picture(path, image, files=(path,))
    mask = decode_mask(tree.read(mask_path), mask_path, image.shape)
    return Picture(path, image, {label: mask}, files=(path, mask_path))
