"""What detectors learn from and are tested on, and what of it an arm shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_gan.detectors.showing import Stream
from anomaly_gan.detectors.targets import to_instances
from anomaly_gan.evaluation.arms import FLIPS, NORMAL_SHARE, Arm, first_of_each
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import TURNS, turned_sample
from infra.errors import DataError, UsageError


@dataclass(frozen=True)
class Material:
    """What detectors learn from, and what they are tested on.

    Attributes:
        normals, real: normal and anomalous training pictures.
        test: whole pictures of other physical parts than those of the training split, normal ones among them.
        groups: of each test picture, its physical part.
        classes: names of the anomaly classes, labels 1..K.
        added: source of an arm -> anomalous pictures that were made of the training split; `flips` need no entry.
    """

    normals: Sequence[Sample]
    real: Sequence[Sample]
    test: Sequence[Sample]
    groups: Sequence[str]
    classes: tuple[str, ...]
    added: Mapping[str, Sequence[Sample]] = field(default_factory=dict)

    def added_to(self, arm: Arm) -> Sequence[Sample]:
        """The pictures that the arm adds, no more of each class than it asks for.

        Raises:
            UsageError: there are none from its source.
        """
        if arm.source == FLIPS:
            pictures: Sequence[Sample] = [turned_sample(one, turn) for turn in range(1, TURNS) for one in self.real]
        elif arm.source is not None and arm.source in self.added:
            pictures = self.added[arm.source]
        else:
            known = ", ".join([FLIPS, *self.added])
            raise UsageError(f"arms: {arm.name}: no pictures of {arm.source} were given, only of {known}")
        return pictures if arm.count is None else first_of_each(pictures, self.classes, arm.count)


def streams(arm: Arm, material: Material) -> list[Stream]:
    """What an arm's detector is shown.

    Raises:
        UsageError: the material has nothing from the arm's source.
        DataError: a set has no anomaly of the classes.
    """
    anomalous = 1 - NORMAL_SHARE
    shown = [Stream("normal", NORMAL_SHARE, material.normals)]
    if arm.has_real:
        shown.append(Stream("real", anomalous * (1 - arm.share), material.real))
    if arm.source is not None:
        shown.append(Stream(arm.stream, anomalous * arm.share, material.added_to(arm), arm.adapts))
    for stream in shown[1:]:
        name = "real training" if stream.name == "real" else stream.name.replace("_", "-")
        _refuse_without_anomaly(name, stream.samples, material.classes)
    _refuse_without_anomaly("real test", material.test, material.classes)
    return shown


def _refuse_without_anomaly(name: str, samples: Sequence[Sample], classes: Sequence[str]) -> None:
    if not any(len(to_instances(sample, classes).labels) for sample in samples):
        raise DataError(f"the {len(samples)} {name} images have no anomaly of {', '.join(classes)}")
