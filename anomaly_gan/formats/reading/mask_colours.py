"""Mask pictures of several colours or numbers, where the user says what each of them means."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.source import SKIPPED_LABELS
from infra.errors import DataError, UsageError

LISTED = 8
"""A message lists at most this many colours."""
COMPONENT = r"\d{1,3}"


@dataclass(frozen=True)
class MaskColour:
    """What a colour, or a number, of a mask picture means.

    Attributes:
        colour: (R, G, B), or (N,): a palette's index or a grey level.
        label: the class; None = the class of the mask's folder.
    """

    colour: tuple[int, ...]
    label: str | None

    @property
    def is_nothing(self) -> bool:
        return self.label in SKIPPED_LABELS

    def __str__(self) -> str:
        return show(self.colour) if self.label is None else f"{show(self.colour)}={self.label}"


def parse_mask_colour(text: str) -> MaskColour:
    """`R,G,B`, `#RRGGBB` or `N`, then `=CLASS` where the folder does not tell the class.

    Raises:
        UsageError: it is none of them, or a number is out of range.
    """
    written, _, label = text.partition("=")
    digits = re.fullmatch(r"#([0-9a-fA-F]{6})", written)
    if digits:
        return MaskColour(tuple(bytes.fromhex(digits[1])), label or None)
    if re.fullmatch(r"\d{1,5}", written) and int(written) < 1 << 16:
        return MaskColour((int(written),), label or None)
    if re.fullmatch(rf"{COMPONENT},{COMPONENT},{COMPONENT}", written):
        colour = tuple(map(int, written.split(",")))
        if max(colour) < 256:
            return MaskColour(colour, label or None)
    raise UsageError(f"--mask-colour: R,G,B or #RRGGBB or a number, with or without =CLASS, got {text!r}")


def parse_mask_colours(texts: Iterable[str]) -> tuple[MaskColour, ...]:
    """All of them; raises UsageError where one is no colour, or stands twice."""
    colours = tuple(map(parse_mask_colour, texts))
    twice = [colour for colour, uses in Counter(entry.colour for entry in colours).items() if uses > 1]
    if twice:
        raise UsageError(f"--mask-colour: {show(twice[0])} is given twice; say once what it means")
    return colours


def split(
    numbers: NDArray[np.integer] | None,
    pixels: NDArray[np.uint8] | None,
    colours: Iterable[MaskColour],
    folder: str,
    name: str,
    *,
    may_be_empty: bool = False,
) -> dict[str, NDArray[np.uint8]]:
    """The masks that a picture holds.

    Args:
        numbers: [H, W] palette indices or grey levels; None where it has neither.
        pixels: [H, W, 3] RGB; None where it is grey.
        colours: what each means; black and 0 mean nothing where they are not among them.
        folder: the class where a colour does not name one.
        name: how messages call the picture.
        may_be_empty: no class at all is no error.

    Returns:
        Label -> [H, W] uint8 {0, 1}, not empty.

    Raises:
        DataError: a colour is not among `colours`, or no pixel is of a class.
    """
    shown = numbers[..., None] if pixels is None and numbers is not None else pixels
    assert shown is not None, "a mask has numbers or colours"
    unclaimed = shown.any(axis=2) if numbers is None else shown.any(axis=2) & (numbers != 0)
    masks: dict[str, NDArray[np.uint8]] = {}
    for entry in colours:
        own = _where(numbers, shown, entry.colour)
        unclaimed &= ~own
        if not entry.is_nothing and own.any():
            label = entry.label or folder
            masks[label] = masks.get(label, np.zeros(own.shape, np.uint8)) | own
    if unclaimed.any():
        raise DataError(
            f"{name}: holds {listed(shown[unclaimed])}, which no --mask-colour explains; add what they mean"
        )
    if not masks and not may_be_empty:
        raise DataError(
            f"{name}: no pixel has a colour that means a class; draw it, or move the picture to the normal ones"
        )
    return masks


def _where(
    numbers: NDArray[np.integer] | None, shown: NDArray[np.integer], colour: tuple[int, ...]
) -> NDArray[np.bool_]:
    if len(colour) == 3:
        return np.asarray((shown == np.array(colour)).all(axis=2))
    return np.zeros(shown.shape[:2], bool) if numbers is None else numbers == colour[0]


def listed(colours: NDArray[np.integer]) -> str:
    """The most frequent of [N, C] colours, with their pixels, as messages tell them."""
    found, counts = np.unique(colours, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    told = [f"{show(found[i].tolist())} ({counts[i]} px)" for i in order[:LISTED]]
    rest = [f"{len(order) - LISTED} more"] if len(order) > LISTED else []
    return ", ".join(told + rest)


def show(colour: Iterable[int]) -> str:
    """As `--mask-colour` takes it."""
    return ",".join(map(str, colour))
