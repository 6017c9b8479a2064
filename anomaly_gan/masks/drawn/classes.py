"""The labels of files that come after the import -> the classes that the data set has."""

from collections.abc import Collection
from dataclasses import dataclass, field

from anomaly_gan.formats.reading.to_sample import ClassNames
from infra.errors import DataError


@dataclass(frozen=True)
class KnownClasses:
    """Names classes as the import does, and knows no new ones."""

    classes: Collection[str]
    names: ClassNames = field(default_factory=ClassNames)

    def name(self, label: str, where: str) -> str:
        """The class of a label, or of a folder's name.

        Raises:
            DataError: the data set has no such class, or as `ClassNames.name`; begins with `where`.
        """
        name = self.names.name(label, where)
        if name not in self.classes:
            raise DataError(f"{where}: {label!r} is no class of the data set; rename it to one of {self.listed()}")
        return name

    def listed(self) -> str:
        return ", ".join(sorted(self.classes))
