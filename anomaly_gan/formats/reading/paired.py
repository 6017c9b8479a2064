"""Pictures whose masks are pictures too: what the mvtec and folder layouts share."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from anomaly_gan.formats.reading.frames import notes_of
from anomaly_gan.formats.reading.mask_pictures import decode_masks
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.pictures import open_picture, stem
from anomaly_gan.formats.reading.source import Picture, SourceTree, combine, refusal

Key = tuple[str, str]
"""(label, stem of the picture)."""


def paired(
    tree: SourceTree,
    images: Iterable[tuple[str, str]],
    masks: Iterable[tuple[Key, str]],
    options: ReadingOptions,
    *,
    normal: str,
    parts: Iterable[tuple[Key, str]] = (),
) -> dict[str, Callable[[], Picture]]:
    """Loaders of pictures whose masks are pictures too.

    Args:
        tree: what to read from.
        images: (label, path).
        masks: (label and stem of the image, path): one for each image.
        options: how to read them.
        normal: the label of pictures without mask.
        parts: as `masks`, but each shows one anomaly, and an image has any number.
    """
    images = list(images)
    loaders = {path: _plain(tree, path, options) for label, path in images if label == normal}
    abnormal = _by_key(((label, stem(path)), path) for label, path in images if label != normal)
    whole, partial_ = _by_key(masks), _by_key(parts)
    for key in abnormal.keys() | whole.keys() | partial_.keys():
        pictures, own, shared = abnormal.get(key, []), whole.get(key, []), partial_.get(key, [])
        if len(pictures) > 1 or len(own) > 1 or (own and shared):
            files = [*pictures, *own, *shared]
            told = f"and {files[1]} share the name {key[1]!r}, which mask is whose is not told; keep one"
            loaders |= {path: refusal(f"{path}: {files[0]} {told}") for path in files}
        elif not pictures:
            told = "the mask has no image; add the image or remove the mask"
            loaders |= {path: refusal(f"{path}: {told}") for path in own + shared}
        elif not own and not shared:
            loaders[pictures[0]] = refusal(f"{pictures[0]}: has no mask; add one, or move the picture to {normal!r}")
        else:
            loaders[pictures[0]] = partial(load, tree, pictures[0], key[0], own + shared, options)
    return loaders


def _by_key(files: Iterable[tuple[Key, str]]) -> dict[Key, list[str]]:
    found: dict[Key, list[str]] = {}
    for key, path in files:
        found.setdefault(key, []).append(path)
    return found


def _plain(tree: SourceTree, path: str, options: ReadingOptions) -> Callable[[], Picture]:
    return partial(load, tree, path, "", (), options)


def load(tree: SourceTree, path: str, label: str, mask_paths: Sequence[str], options: ReadingOptions) -> Picture:
    """One picture and its masks, whose class is `label` where colours do not tell.

    Of several masks each is an anomaly of its own; where there is one, every connected part of it is.
    """
    picture = open_picture(tree.read(path), path, options)
    notes = dict.fromkeys(notes_of(picture))
    drawn = []
    for mask_path in mask_paths:
        masks, told = decode_masks(tree.read(mask_path), mask_path, picture, label, options)
        drawn += [(name, mask_path, mask) for name, mask in masks.items()]
        notes |= dict.fromkeys(told)
    united, instances = combine(drawn, path)
    files = (path, *mask_paths)
    return Picture(path, picture.pixels, united, instances if len(mask_paths) > 1 else {}, files, tuple(notes))
