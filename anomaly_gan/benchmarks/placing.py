"""Where planned masks lie beside real ones: at the border, how steep, how rational."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from anomaly_gan.generation.paste import into_frame
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.pool import Element, cut_elements
from anomaly_gan.masks.rationality.context import PictureContext, describe_picture
from anomaly_gan.masks.rationality.habits import axis_deg
from anomaly_gan.masks.rationality.rationality import Rationality
from anomaly_gan.samples.sample import Sample

BORDER_PX = 3
STEEP_DEG = 60


@dataclass(frozen=True)
class PlaceFigures:
    """How the masks of a class lie in their pictures.

    Attributes:
        border: share of the masks that come within BORDER_PX of their picture's border.
        steep: share of the parts whose main axis is more than STEEP_DEG from the rows.
        score: median rationality.
    """

    masks: int
    border: float
    steep: float
    score: float


@dataclass(frozen=True)
class _Places:
    """What was seen of one mask."""

    touches: bool
    steep: list[bool]
    score: float


def measure_real(samples: Sequence[Sample], class_name: str, learnt: Rationality) -> PlaceFigures:
    """The figures of the masks of annotated pictures; those without the class are passed over."""
    found = []
    for sample in samples:
        if class_name in sample.masks and (parts := cut_elements(sample, class_name)):
            context = describe_picture(sample.image, np.maximum.reduce(list(sample.masks.values())))
            found.append(_seen(parts, context, learnt))
    return _summed(found)


def measure_planned(plan: GenerationPlan, count: int, learnt: Rationality) -> PlaceFigures:
    """The figures of the first masks of a plan, each in its whole picture, without specks and mirrored parts."""
    found, name = [], plan.pool.class_name
    for index in range(count):
        planned = plan.planned(index)
        image = planned.normal.image
        left, top, _ = planned.mask.view.meta.get("window", (0, 0, 0))
        mask = into_frame(np.zeros(image.shape[:2], np.uint8), planned.mask.mask, left, top)
        if parts := cut_elements(Sample("planned", image, {name: mask}), name):
            found.append(_seen(parts, describe_picture(image), learnt))
    return _summed(found)


def _seen(parts: Sequence[Element], context: PictureContext, learnt: Rationality) -> _Places:
    steep = [abs(axis_deg(part.mask)) > STEEP_DEG for part in parts]
    return _Places(any(_touches(part, context) for part in parts), steep, learnt.score(context, parts))


def _touches(part: Element, context: PictureContext) -> bool:
    (height, width), (rows, columns) = context.shape, part.mask.shape
    gaps = part.left, part.top, width - part.left - columns, height - part.top - rows
    return any(gap <= BORDER_PX for gap in gaps)


def _summed(found: Sequence[_Places]) -> PlaceFigures:
    return PlaceFigures(
        masks=len(found),
        border=float(np.mean([one.touches for one in found])),
        steep=float(np.mean([steep for one in found for steep in one.steep])),
        score=median(one.score for one in found),
    )
