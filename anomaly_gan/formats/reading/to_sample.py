"""Picture of a source -> Sample: names made safe, resized once, checked."""

import re
from dataclasses import dataclass, field

from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.samples.index import NORMAL
from anomaly_gan.samples.resizing import lost_parts, resize_image, resize_nearest
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

LONGEST_NAME = 80
"""Letters of a class name, which becomes part of file names."""
LARGE_SHARE = 0.9
"""A mask of more of its picture is rather the background than an anomaly."""


@dataclass
class ClassNames:
    """Turns labels into class names, and remembers them so that two labels never become one class."""

    labels: dict[str, str] = field(default_factory=dict)
    by_lower_case: dict[str, str] = field(default_factory=dict)

    def name(self, label: str, path: str) -> str:
        """The class of a label: letters, digits, '_' and '-', the rest replaced by '_'.

        Raises:
            DataError: nothing would be left, the name is long, taken by another label, differs from one by case only,
                or is `normal`.
        """
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", label)
        if not re.search(r"[A-Za-z0-9]", name):
            raise DataError(f"{path}: label {label!r} has no letter a-z or digit; rename it")
        if len(name) > LONGEST_NAME:
            raise DataError(f"{path}: label {label[:LONGEST_NAME]!r}… has more than {LONGEST_NAME} letters; rename it")
        if name.lower() == NORMAL:
            raise DataError(f"{path}: label {label!r} means pictures without anomaly; rename the class")
        if self.labels.setdefault(name, label) != label:
            raise DataError(f"{path}: labels {self.labels[name]!r} and {label!r} both become class {name}; rename one")
        known = self.by_lower_case.setdefault(name.lower(), name)
        if known != name:
            raise DataError(f"{path}: classes {known} and {name} differ only by upper and lower case; rename one")
        return name


def to_sample(
    key: str,
    picture: Picture,
    *,
    group: str,
    resolution: int | None,
    names: ClassNames,
    allow_large: bool = False,
) -> tuple[Sample, list[str]]:
    """Make a sample of a picture.

    Args:
        key: of the sample.
        picture: what a reader loaded.
        group: goes into the sample's meta with the picture's path as source.
        resolution: side of the square to resize to, whatever the picture's aspect; None = keep the size.
        names: of the whole import.
        allow_large: take masks of more than LARGE_SHARE of their picture, with a warning each.

    Returns:
        The sample, and a warning for each mask that is large, or lost a connected part by resizing.

    Raises:
        DataError: a bad label, a mask of another size than its image, one that is or becomes empty, or a large one.
    """
    warnings = []
    masks, instances = {}, {}
    for label, mask in picture.masks.items():
        name = names.name(label, picture.path)
        if mask.shape != picture.image.shape[:2]:
            size, wanted = mask.shape[::-1], picture.image.shape[1::-1]
            raise DataError(f"{picture.path}: mask of {label!r} has {size} pixels, the image {wanted}; make them equal")
        if mask.mean() > LARGE_SHARE:
            share = f"{picture.path}: the mask of {label!r} covers {mask.mean():.0%} of its picture"
            if not allow_large:
                raise DataError(f"{share}; invert it if it shows the background, else give --allow-large")
            warnings.append(share)
        masks[name] = resize_nearest(mask, resolution)
        if not masks[name].any():
            raise DataError(
                f"{picture.path}: mask of {label!r} is empty at {resolution or 'native'} pixels;"
                " import at a larger --resolution, or native"
            )
        lost = lost_parts(mask, resolution)
        if lost:
            warnings.append(f"{picture.path}: resizing to {resolution} deletes {lost} part(s) of class {name}")
        if label in picture.instances:
            instances[name] = resize_nearest(picture.instances[label], resolution)
    image = resize_image(picture.image, resolution)
    return Sample(key, image, masks, instances, {"group": group, "source": picture.path}), warnings
