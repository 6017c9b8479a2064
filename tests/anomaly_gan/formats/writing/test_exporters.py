"""The list of formats that samples are exported to."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.formats.writing.exporters import EXPORTERS, exporter
from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample
from infra.errors import UsageError
from tests.support.builders_export import crack, disc, sample, write


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_listed_format_can_be_loaded(name: str) -> None:
    assert issubclass(exporter(name), Exporter)


def test_an_unknown_format_is_refused_with_the_known_ones_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^--format: unknown format, got 'voc'; use one of coco, yolo, mvtec, labelme$"
    ):
        write(tmp_path / "a" / "out", "voc", [sample(crack=crack(1))])
    assert list(tmp_path.iterdir()) == []


class ToyExporter(Exporter):
    """One line for each sample: its key and its instances' classes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._lines: list[str] = []

    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        self._lines.append(" ".join([sample.key, *(instance.class_name for instance in instances)]))

    def finish(self) -> None:
        self.write("all.txt", "\n".join(self._lines).encode())


def test_a_toy_format_is_added_through_the_list_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPORTERS, "toy", f"{__name__}:ToyExporter")
    counts = write(tmp_path / "out", "toy", [sample("a", crack=crack(1), hole=disc(5)), sample("b", hole=disc(3))])
    assert (tmp_path / "out" / "all.txt").read_text() == "a crack hole\nb hole"
    assert (counts.images, counts.instances) == (2, 3)
