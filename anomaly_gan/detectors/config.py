"""Every knob of the detector that evaluation trains, declared once: default, bound, unit, meaning."""

from typing import Literal

from pydantic import Field

from anomaly_gan.config import Config
from anomaly_gan.detectors.detectors import DETECTORS, find_detector


def _listed() -> str:
    """The detectors, as a description names them."""
    return ", ".join(f"{name} ({'boxes and masks' if one.has_masks else 'boxes'})" for name, one in DETECTORS.items())


class DetectorConfig(Config):
    """The detector and its training; both arms of a comparison use the same one."""

    name: str = Field(default="segmenter", description=f"detector to train: {_listed()}")
    backbone: Literal["mobilenet_v3_large_fpn", "resnet50_fpn"] = Field(
        default="mobilenet_v3_large_fpn", description="feature network; mobilenet_v3_large_fpn is the one for CPUs"
    )
    weights: Literal["random", "file"] = Field(
        default="random",
        description="start of the backbone: random, or mobilenet_v3_large.pth / resnet50.pth of the weights folder",
    )
    steps: int = Field(default=2000, ge=1, description="optimiser steps, the same for every arm")
    batch_size: int = Field(default=4, ge=1, le=64, description="images per step")
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1, description="learning rate of AdamW after the warm-up; it then falls to 0 as a cosine"
    )
    warmup_steps: int = Field(default=100, ge=0, description="steps of linear warm-up from 0")
    weight_decay: float = Field(default=1e-4, ge=0, le=1, description="weight decay of AdamW")
    clip_norm: float = Field(default=5.0, gt=0, description="largest gradient norm; larger ones are scaled down")
    anchor_sizes_px: tuple[int, int, int, int, int] = Field(
        default=(8, 16, 32, 64, 128), description="side of the anchors in px, on strides 4, 8, 16, 32 and 64"
    )
    rpn_proposals: int = Field(default=256, ge=16, le=2000, description="proposals kept per image")
    rpn_samples: int = Field(default=64, ge=8, le=512, description="anchors per image in the proposal loss")
    box_samples: int = Field(default=64, ge=8, le=512, description="proposals per image in the box loss")
    score_threshold: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="smallest score of detections whose pixels count in the mIoU; AP counts all detections",
    )
    turns: bool = Field(
        default=True,
        description="turn and mirror each picture by chance whenever it is shown, in every arm; the paper's detectors"
        " do without",
    )
    seed: int = Field(default=0, ge=0, description="seed for weights, order, augmentation and sampling")

    def filled_in(self) -> "DetectorConfig":
        """With what its detector has otherwise, where a value was not given.

        Raises:
            UsageError: there is no such detector.
        """
        defaults = find_detector(self.name).defaults
        return self.model_copy(
            update={key: value for key, value in defaults.items() if key not in self.model_fields_set}
        )
