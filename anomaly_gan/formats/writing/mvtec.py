"""The MVTec-AD layout: `test/CLASS/KEY.png` and `ground_truth/CLASS/KEY_mask.png`, 0 and 255."""

from collections.abc import Sequence

import numpy as np

from anomaly_gan.formats.reading.mvtec import NORMAL
from anomaly_gan.formats.writing.exporter import Exporter
from anomaly_gan.samples.instances import Instance
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError


class MvtecExporter(Exporter):
    """The layout has one mask a picture, and knows no instances.

    A sample of several classes goes into a folder named after all of them, `crack+hole`; its mask is the union. A
    sample without a mask is a normal picture, in `test/good`.
    """

    def add(self, sample: Sample, picture: bytes, instances: Sequence[Instance]) -> None:
        if NORMAL in sample.masks:
            raise DataError(
                f"sample {sample.key}: class {NORMAL!r} means pictures without anomaly in the MVTec-AD layout;"
                " export to another format"
            )
        label = "+".join(sorted(sample.masks)) or NORMAL
        self.write(f"test/{label}/{sample.key}.png", picture)
        if not sample.is_normal:
            union = np.max(list(sample.masks.values()), axis=0)
            self.write(f"ground_truth/{label}/{sample.key}_mask.png", encode_png(union * np.uint8(255)))
