"""Picture of a source -> Sample: names made safe, resized once, checked."""

import re
from dataclasses import dataclass, field

from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.samples.index import NORMAL
from anomaly_gan.samples.resizing import lost_parts, resize_image, resize_nearest
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError


@dataclass
class ClassNames:
    """Turns labels into class names, and remembers them so that two labels never become one class."""

    labels: dict[str, str] = field(default_factory=dict)

    def name(self, label: str, path: str) -> str:
        """The class of a label: letters, digits, '_' and '-', the rest replaced by '_'.

        Raises:
            DataError: nothing would be left, the name is taken by another label, or it is `normal`.
        """
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", label)
        if not re.search(r"[A-Za-z0-9]", name):
            raise DataError(f"{path}: label {label!r} has no letter a-z or digit; rename it")
        if name.lower() == NORMAL:
            raise DataError(f"{path}: label {label!r} means pictures without anomaly; rename the class")
        if self.labels.setdefault(name, label) != label:
            raise DataError(f"{path}: labels {self.labels[name]!r} and {label!r} both become class {name}; rename one")
        return name


def to_sample(
    key: str, picture: Picture, *, group: str, resolution: int | None, names: ClassNames
) -> tuple[Sample, list[str]]:
    """Make a sample of a picture.

    Args:
        key: of the sample.
        picture: what a reader loaded.
        group: goes into the sample's meta with the picture's path as source.
        resolution: side of the square to resize to, whatever the picture's aspect; None = keep the size.
        names: of the whole import.

    Returns:
        The sample, and a warning for each mask that lost a connected part by resizing.

    Raises:
        DataError: a bad label, a mask of another size than its image, or a mask that is or becomes empty.
    """
    warnings = []
    masks, instances = {}, {}
    for label, mask in picture.masks.items():
        name = names.name(label, picture.path)
        if mask.shape != picture.image.shape[:2]:
            size, wanted = mask.shape[::-1], picture.image.shape[1::-1]
            raise DataError(f"{picture.path}: mask of {label!r} has {size} pixels, the image {wanted}; make them equal")
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
