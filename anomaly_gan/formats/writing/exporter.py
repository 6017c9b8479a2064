"""What every format of an export has in common: samples come one by one, files are written, nothing is kept."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError


class Exporter(ABC):
    """Writes samples in one format.

    Args:
        folder: where to; it is there, and empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        """Write one sample.

        Args:
            sample: its key and its classes may stand in a path.
            picture: its image as PNG.
            instances: of `instances_of`.
        """

    def finish(self) -> None:  # noqa: B027 - most formats have nothing to add
        """Write what is about all samples."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder.

        Raises:
            DataError: it is already there.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError as err:
            raise DataError(f"{name}: is there already, two samples have one key; generate them again") from err
