"""A change of light on a whole generated picture, background and anomaly together (the paper's second limit)."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import LightConfig


@dataclass(frozen=True)
class Light:
    """One change of light.

    Attributes:
        gain: what every grey level is multiplied by, 1 = unchanged.
        gradient: relative change from the middle of the picture to its side, 0 = even light.
        direction_deg: in which direction it grows brighter, counter-clockwise from the right.
        exposure: stops by which middle tones are lifted, black and white stay: v -> v ** (2 ** -exposure).
    """

    gain: float
    gradient: float
    direction_deg: float
    exposure: float

    def to_plain(self) -> dict[str, float]:
        return asdict(self)


def draw_light(config: LightConfig, rng: np.random.Generator) -> Light | None:
    """A random change within the config's ranges; None where they are all 0, and then nothing is drawn."""
    if not (config.max_gain or config.max_gradient or config.max_exposure):
        return None
    return Light(
        gain=1 + float(rng.uniform(-config.max_gain, config.max_gain)),
        gradient=float(rng.uniform(0, config.max_gradient)),
        direction_deg=float(rng.uniform(0, 360)),
        exposure=float(rng.uniform(-config.max_exposure, config.max_exposure)),
    )


def relight(image: NDArray[np.uint8], light: Light) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] uint8 under another light; what becomes brighter than white is cut."""
    height, width = image.shape[:2]
    angle = np.deg2rad(light.direction_deg)
    across, up = np.linspace(-1, 1, width), np.linspace(1, -1, height)
    ramp = 1 + light.gradient * (across[None, :] * np.cos(angle) + up[:, None] * np.sin(angle)) / np.sqrt(2)
    lifted = 255 * (image / 255.0) ** (2.0**-light.exposure)
    lit = light.gain * lifted * (ramp if image.ndim == 2 else ramp[:, :, None])
    whole: NDArray[np.uint8] = np.rint(np.clip(lit, 0, 255)).astype(np.uint8)
    return whole
