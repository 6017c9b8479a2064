"""Pictures of 16 bits a channel -> 8 bits, by a range of levels that the user states."""

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

from infra.errors import DataError, UsageError

HIGHEST = (1 << 16) - 1
ADVICE = "give the levels that become black and white with --depth-range LOW:HIGH or 1%:99%, or convert it to 8 bits"


@dataclass(frozen=True)
class DepthRange:
    """The levels of a picture of 16 bits that become 0 and 255; what lies outside is cut off.

    Attributes:
        low, high: levels 0 to 65535, or percentiles 0 to 100 of each picture by itself.
        is_percentile: which of both they are.
    """

    low: float
    high: float
    is_percentile: bool = False

    def __str__(self) -> str:
        unit = "%" if self.is_percentile else ""
        return f"{self.low:g}{unit}:{self.high:g}{unit}"

    def apply(self, levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """[H, W] or [H, W, 3] of 16 bits -> 8 bits, rounded."""
        low, high = np.percentile(levels, (self.low, self.high)) if self.is_percentile else (self.low, self.high)
        scaled = (levels.astype(np.float32) - low) * (255 / max(high - low, 1))
        return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def parse_depth_range(text: str) -> DepthRange:
    """`LOW:HIGH` in levels, or `LOW%:HIGH%` in percentiles.

    Raises:
        UsageError: it is neither, or LOW is not below HIGH.
    """
    number = r"(\d{1,5}(?:\.\d{1,6})?)"
    found = re.fullmatch(rf"{number}(%?):{number}\2", text)
    if found:
        depth = DepthRange(float(found[1]), float(found[3]), is_percentile=found[2] == "%")
        if depth.low < depth.high <= (100 if depth.is_percentile else HIGHEST):
            return depth
    raise UsageError(
        f"--depth-range: LOW:HIGH in levels up to {HIGHEST} or in percentiles as 1%:99%, LOW below HIGH, got {text!r}"
    )


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Does a picture that is open but not decoded have 16 bits a channel? Pillow shows colour of 16 bits as 8."""
    modes = [image.mode, *(str(tile.args[0] if isinstance(tile.args, tuple) else tile.args) for tile in image.tile)]
    return any(";16" in mode for mode in modes)


def decode_deep(data: bytes, name: str) -> NDArray[np.uint16]:
    """[H, W] grey or [H, W, 3] RGB of 16 bits, as stored, not turned.

    Raises:
        DataError: neither grey nor RGB; begins with `name`.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as err:
        if err.code == cv2.Error.StsNoMem:
            raise MemoryError(name) from err
        pixels = None
    if pixels is None or pixels.dtype != np.uint16 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise DataError(f"{name}: is neither a grey nor an RGB picture of 16 bits; convert it to 8 bits a channel")
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return ordered.astype(np.uint16, copy=False)
