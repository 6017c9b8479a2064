"""What a user says about how a source is to be read, where the source alone does not tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from anomaly_gan.formats.reading.depth import DepthRange, parse_depth_range
from anomaly_gan.formats.reading.mask_colours import MaskColour, parse_mask_colours
from infra.errors import UsageError

Orientation = Literal["exif", "stored"]
PictureBy = Literal["imagePath", "name"]


@dataclass(frozen=True)
class ReadingOptions:
    """Options of an import that readers follow.

    Attributes:
        orientation: `exif` turns pictures as they are shown, which is what annotation tools draw on; `stored` takes
            the pixels as the file has them, and annotations as drawn on those. None turns them too, but refuses masks
            that fit both ways.
        depth: how pictures of 16 bits a channel become 8 bits; None = they are refused.
        mask_colours: what the colours or numbers of mask pictures mean; empty = masks are black and white.
        picture_by: which picture a labelme file means where `imagePath` and its own name tell two; None = refused.
        boxes_as_masks: an anomaly of which only the box is known covers all of it.
    """

    orientation: Orientation | None = None
    depth: DepthRange | None = None
    mask_colours: tuple[MaskColour, ...] = ()
    picture_by: PictureBy | None = None
    boxes_as_masks: bool = False

    def stated(self) -> dict[str, str]:
        """Those that are not the default, as they are recorded with a data set."""
        told = {
            "orientation": self.orientation or "",
            "depth_range": str(self.depth or ""),
            "mask_colours": " ".join(map(str, self.mask_colours)),
            "picture_by": self.picture_by or "",
            "boxes_as_masks": "yes" if self.boxes_as_masks else "",
        }
        return {name: value for name, value in told.items() if value}


DEFAULT = ReadingOptions()


def parse_options(
    *,
    orientation: str | None,
    depth_range: str | None,
    mask_colours: Sequence[str],
    picture_by: str | None,
    boxes_as_masks: bool = False,
) -> ReadingOptions:
    """Options as a command line gives them.

    Raises:
        UsageError: one of them is not what it can be.
    """
    depth = None if depth_range is None else parse_depth_range(depth_range)
    for name, value, known in (
        ("--orientation", orientation, (None, *get_args(Orientation))),
        ("--picture-by", picture_by, (None, *get_args(PictureBy))),
    ):
        if value not in known:
            raise UsageError(f"{name}: one of {', '.join(filter(None, known))}, got {value!r}")
    return ReadingOptions(orientation, depth, parse_mask_colours(mask_colours), picture_by, boxes_as_masks)  # type: ignore[arg-type]
