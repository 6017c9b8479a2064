"""What was drawn on a picture, laid onto it as it is shown; the size that the annotation states tells how it lay."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.formats.reading.orientation import turned
from anomaly_gan.formats.reading.pictures import Decoded

Masks = Mapping[str, NDArray[np.uint8]]
Instances = Mapping[str, NDArray[np.uint16]]

TURNED_NOTE = "are turned as their EXIF says, and annotations taken as drawn on what is shown"
STORED_NOTE = (
    "have annotations that fit only the picture as it is stored, not as its EXIF turns it; they are turned with it"
)


class Drawn(NamedTuple):
    """Label -> [H, W] masks and instance maps of the picture as shown, and what is worth telling."""

    masks: Masks
    instances: Instances
    notes: tuple[str, ...]


def laid(
    picture: Decoded,
    stated: tuple[int | None, int | None],
    draw: Callable[[tuple[int, int]], tuple[Masks, Instances]],
) -> Drawn | None:
    """Draw on the picture as shown, or on it as stored and turn the masks, whichever has the stated size.

    Args:
        picture: what was drawn on.
        stated: its [H, W] as the annotation says; None where it does not.
        draw: [H, W] -> label -> masks {0, 1} and instance maps of that shape.

    Returns:
        None where the size is neither that of the picture as shown nor as stored.
    """
    height, width = (said or seen for said, seen in zip(stated, picture.shape, strict=True))
    if (height, width) == picture.shape:
        masks, instances = draw(picture.shape)
        return Drawn(masks, instances, notes_of(picture))
    if (height, width) != picture.stored_shape:
        return None
    masks, instances = draw(picture.stored_shape)
    return Drawn(
        {label: turned(mask, picture.orientation) for label, mask in masks.items()},
        {label: turned(numbers, picture.orientation) for label, numbers in instances.items()},
        (STORED_NOTE,),
    )


def notes_of(picture: Decoded) -> tuple[str, ...]:
    """What to tell of a picture that was turned."""
    return (TURNED_NOTE,) if picture.orientation != 1 else ()
