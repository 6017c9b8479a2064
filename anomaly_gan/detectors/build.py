"""Builds the detector that a config names, with its first weights."""

from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import nn

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector


def build_detector(num_classes: int, config: DetectorConfig, weights_folder: Path | None = None) -> nn.Module:
    """The detector `config.name` with weights drawn from `config.seed`, in training mode.

    The random state of the process stays as it is.

    Args:
        num_classes: K anomaly classes, the background not counted.
        config: the detector's knobs.
        weights_folder: where the backbone's file is, read only for `config.weights = "file"`.

    Raises:
        UsageError: there is no such detector.
        NotFoundError: the backbone's file is wanted and not there.
        DataError: the file holds another network.
    """
    build = resolve_name(find_detector(config.name).builder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: nn.Module = build(num_classes, config, weights_folder)
    return model
