"""Bytes <-> Sample; numpy only, so that commands on data alone start without torch (`tensors` has what networks take).

Shape legend of all files: N batch, C channels, H and W pixels, K classes.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError

MASK_THRESHOLD = 128
"""Stored masks are anti-aliased in the wild; a pixel of at least this level is anomalous."""

MAX_PIXELS = 64 << 20
"""A picture of more is refused by its header, before its pixels take memory."""

IMAGE_MEMBER = "image.png"
META_MEMBER = "meta.json"


PNG_SIGNATURE, PNG_HEADER_BYTES = b"\x89PNG\r\n\x1a\n", 33


@dataclass(frozen=True)
class Sample:
    """One picture with its anomalies.

    Attributes:
        key: unique within its data set; no dot, no slash.
        image: [H, W] grey or [H, W, 3] RGB, uint8 0..255.
        masks: class -> [H, W] uint8 {0, 1}, 1 = anomaly; empty for a normal image.
        instances: class -> [H, W] uint16, 0 = none, i = instance i; only where the annotation names
            instances. Without it every connected part of a mask is an instance.
        meta: what else is known, JSON values only (group, source, provenance).
    """

    key: str
    image: NDArray[np.uint8]
    masks: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    instances: Mapping[str, NDArray[np.uint16]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_normal(self) -> bool:
        return not self.masks


FLAT = (cv2.IMWRITE_PNG_COMPRESSION, 3)
PHOTO = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)
"""A photograph has no repeated strings to search for: so it takes a quarter of the time, and no more bytes."""


def encode_png(image: NDArray[Any], *, is_photo: bool = False) -> bytes:
    """Encode [H, W] or [H, W, 3] RGB, uint8 or uint16 (grey only), as PNG; the same pixels give the same bytes."""
    ordered = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    ok, encoded = cv2.imencode(".png", ordered, PHOTO if is_photo else FLAT)
    if not ok:
        raise DataError(f"image of shape {image.shape}, {image.dtype}: cannot be written as PNG")
    return encoded.tobytes()


def decode_png(data: bytes, name: str) -> NDArray[Any]:
    """Decode a PNG to [H, W] grey or [H, W, 3] RGB, keeping its depth.

    Raises:
        DataError: the bytes are no PNG, or one of more than MAX_PIXELS; the message begins with `name`.
        MemoryError: there is no memory for it, which says nothing about the picture.
    """
    if not data.startswith(PNG_SIGNATURE) or len(data) < PNG_HEADER_BYTES:
        raise DataError(f"{name}: not a PNG ({len(data)} bytes); import or make it again")
    width, height = struct.unpack_from(">II", data, len(PNG_SIGNATURE) + 8)
    if width * height > MAX_PIXELS:
        raise DataError(f"{name}: the picture has more than {MAX_PIXELS >> 20} megapixels; cut it into smaller ones")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as err:
        if err.code == cv2.Error.StsNoMem:
            raise MemoryError(name) from err
        image = None
    if image is None:
        raise DataError(f"{name}: not a readable picture ({len(data)} bytes)")
    if image.ndim == 3:
        image = cv2.cvtColor(image[:, :, :3], cv2.COLOR_BGR2RGB)
    return image


def encode_sample(sample: Sample) -> dict[str, bytes]:
    """Members of a shard: image.png, mask.<class>.png {0, 255}, instances.<class>.png, meta.json."""
    members = {IMAGE_MEMBER: encode_png(sample.image, is_photo=True)}
    for name, mask in sorted(sample.masks.items()):
        members[f"mask.{name}.png"] = encode_png(mask * np.uint8(255))
    for name, instances in sorted(sample.instances.items()):
        members[f"instances.{name}.png"] = encode_png(instances)
    members[META_MEMBER] = json.dumps(dict(sample.meta), sort_keys=True, separators=(",", ":")).encode()
    return members


def decode_sample(key: str, members: Mapping[str, bytes]) -> Sample:
    """Inverse of `encode_sample`.

    Raises:
        DataError: a member is missing, unknown, unreadable, or a mask is not of the image's size or not binary.
    """
    if IMAGE_MEMBER not in members:
        raise DataError(f"sample {key}: has no {IMAGE_MEMBER} (found {', '.join(sorted(members))})")
    image = decode_png(members[IMAGE_MEMBER], f"sample {key}: {IMAGE_MEMBER}")
    masks: dict[str, NDArray[np.uint8]] = {}
    instances: dict[str, NDArray[np.uint16]] = {}
    meta: dict[str, Any] = {}
    for member, data in members.items():
        kind, _, rest = member.partition(".")
        name = rest.removesuffix(".png")
        if kind == "mask" and name:
            masks[name] = _decode_mask(data, image.shape[:2], f"sample {key}: {member}")
        elif kind == "instances" and name:
            instances[name] = decode_png(data, f"sample {key}: {member}").astype(np.uint16)
        elif member == META_MEMBER:
            meta = _decode_meta(data, f"sample {key}: {member}")
        elif member != IMAGE_MEMBER:
            raise DataError(f"sample {key}: unknown member {member}; expected image, mask, instances or meta")
    return Sample(key, image, masks, instances, meta)


def _decode_meta(data: bytes, name: str) -> dict[str, Any]:
    try:
        meta = json.loads(data)
    except ValueError as err:
        raise DataError(f"{name}: not valid JSON ({err}); import or make it again") from err
    if not isinstance(meta, dict):
        raise DataError(f"{name}: holds no mapping; import or make it again")
    return meta


def _decode_mask(data: bytes, shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    stored = decode_png(data, name)
    if stored.shape != shape:
        raise DataError(f"{name}: size {stored.shape[::-1]} differs from the image's {shape[::-1]}")
    if not np.isin(stored, (0, 255)).all():
        raise DataError(f"{name}: mask is not binary; import the data set again")
    return (stored >= MASK_THRESHOLD).astype(np.uint8)


def to_planes(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] -> [3, H, W]; grey is repeated."""
    if image.ndim == 2:
        return np.repeat(image[None], 3, axis=0)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def from_planes(planes: NDArray[np.uint8], *, gray: bool) -> NDArray[np.uint8]:
    """[3, H, W] -> [H, W] (the first plane) where `gray`, else [H, W, 3]."""
    return planes[0] if gray else np.ascontiguousarray(planes.transpose(1, 2, 0))
