"""Annotated folders in memory, for tests of everything that reads one."""

import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from infra.errors import NotFoundError


class MemoryTree:
    """A `SourceTree` in a dict."""

    def __init__(self, files: Mapping[str, bytes], url: str = "memory://source") -> None:
        self.url = url
        self.files = dict(files)

    def paths(self) -> list[str]:
        return sorted(self.files)

    def left_out(self) -> list[tuple[str, str]]:
        return []

    def read(self, path: str) -> bytes:
        try:
            return self.files[path]
        except KeyError as err:
            raise NotFoundError(f"{self.url}/{path}: no such file; check the path") from err


def png(pixels: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def gray(height: int = 24, width: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def blob(height: int = 24, width: int = 32, level: int = 255) -> NDArray[np.uint8]:
    """A mask picture: 6 x 8 pixels of `level` on 0."""
    mask = np.zeros((height, width), np.uint8)
    mask[4:10, 5:13] = level
    return mask


def gigantic_png(width: int = 9000, height: int = 9000) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"\0"), b"IEND"]
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def mvtec_files(normal: int = 4, **classes: int) -> dict[str, bytes]:
    """A good tree in the MVTec-AD layout: `normal` pictures, and so many of each class."""
    files = {f"train/good/{i:03d}.png": png(gray(seed=i)) for i in range(normal)}
    for number, (name, count) in enumerate(classes.items(), start=1):
        for i in range(count):
            files[f"test/{name}/{i:03d}.png"] = png(gray(seed=1000 * number + i))
            files[f"ground_truth/{name}/{i:03d}_mask.png"] = png(blob())
    return files
