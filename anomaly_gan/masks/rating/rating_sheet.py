"""The rating sheet: one HTML page on which an expert rates masks and saves the table of `ratings.read_ratings`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.drawing.pages import data_uri, page_template
from anomaly_gan.masks.rating.fuzzy import TERMS, centroid


@dataclass(frozen=True)
class SheetMask:
    """One mask to rate.

    Attributes:
        mask: its id in the pool.
        thumbnail: [H, W] grey or [H, W, 3] RGB, uint8; shown without smoothing.
        note: what else helps to judge it, such as "412 px, 38 x 22, a.json#2".
    """

    mask: str
    class_name: str
    thumbnail: NDArray[np.uint8]
    note: str

    @property
    def picture(self) -> str:
        """The thumbnail as a data URI."""
        return data_uri(self.thumbnail)


def rating_sheet(title: str, masks: Sequence[SheetMask]) -> str:
    """One self-contained HTML page: thumbnails as base64 PNG, style and script inline, nothing requested.

    All text is escaped. The page keeps the ratings in the browser, apart for each title and expert.

    Args:
        title: of the pool; the heading.
        masks: in the order to rate them, put together by class.
    """
    classes: dict[str, list[SheetMask]] = {}
    for mask in masks:
        classes.setdefault(mask.class_name, []).append(mask)
    return page_template(__package__, "rating_sheet.html.j2").render(
        title=title,
        classes=classes,
        count=len(masks),
        terms={term: centroid(triangle) for term, triangle in TERMS.items()},
    )
