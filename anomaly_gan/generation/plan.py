"""Normal images + mask pool -> what is to be made; each image a pure function of (plan, index)."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation.gate import QualityGate
from anomaly_gan.generation.light import Light, draw_light
from anomaly_gan.generation.mix import laid_onto
from anomaly_gan.generation.paste import centred
from anomaly_gan.masks.placing.parts import PlacementError
from anomaly_gan.masks.placing.planning import MaskPlanner, PlannedMask
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.masks.pool.severity import Severity
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

MAX_PLANS = 16
"""Plans of one try, each with another picture, elements and places, until one has room."""


@dataclass(frozen=True)
class GenerationPlan:
    """What decides every image, before any network runs.

    Attributes:
        normals: the training split's normal samples, in the index's order.
        pool: elements of the class to generate.
        gate: what decides whether a sample is kept; None = the first try is taken.
        layer: 0 begins with normal pictures; a higher one adds to what others made of them, by chance of its own.
    """

    normals: Sequence[Sample]
    pool: MaskPool
    view: ViewConfig
    masks: MaskConfig
    config: GenerationConfig
    gate: QualityGate | None = None
    layer: int = 0

    def planned(self, index: int, attempt: int = 0, onto: Sample | None = None) -> "PlannedImage":
        """The view, the mask, the light and how strong the anomaly is to be, of one try of an index.

        Where a picture has no room for what was drawn, the try is planned anew with the next sub-seed.

        Args:
            onto: what other plans made of the index so far; None = begin with a normal picture.

        Raises:
            DataError: no picture or no place takes an element; names what and why.
        """
        for number in range(MAX_PLANS - 1):
            with suppress(PlacementError):
                return self._planned(index, attempt, number, onto)
        return self._planned(index, attempt, MAX_PLANS - 1, onto)

    def _planned(self, index: int, attempt: int, number: int, onto: Sample | None) -> "PlannedImage":
        rng = np.random.default_rng([self.config.seed, index, *self._sub_seed(attempt, number)])
        # every draw below is in a fixed order: another order would give another image for the same index
        if onto is None:
            normal = self.fitting[int(rng.integers(len(self.fitting)))]
        else:
            normal = self._by_key[onto.meta["normal"]]
        mask = self._mask(normal, onto, rng)
        wanted = None
        if self.masks.contrast != "any":
            wanted = float(rng.uniform(*self.severity.limits("contrast", self.masks.contrast)))
        light = draw_light(self.config.light, rng)
        return PlannedImage(index, attempt, normal, onto, mask, wanted, light, number)

    def _sub_seed(self, attempt: int, number: int) -> list[int]:
        """Numbers behind seed and index; the common case has none, so that its images stay what they always were."""
        if self.layer:
            return [attempt, number, self.layer]
        if number:
            return [attempt, number]
        return [attempt] if attempt else []

    def _mask(self, normal: Sample, onto: Sample | None, rng: np.random.Generator) -> PlannedMask:
        """A mask that keeps clear of the anomalies that are in the picture already."""
        for _ in range(self.masks.tries):
            mask = self._planner.plan(normal, rng)
            if self.in_frames:
                mask = centred(mask, normal)
            laid = mask if onto is None else laid_onto(mask, onto, self.config.feather_px)
            if laid is not None:
                return laid
        raise PlacementError(
            f"mask pool: no place for class {self.pool.class_name} beside the other anomalies of picture {normal.key}"
            f" in {self.masks.tries} tries; mix fewer classes, or lower masks.max_parts or masks.scale_max"
        )

    @property
    def in_frames(self) -> bool:
        """Whether samples are whole pictures of which a window was changed."""
        return self.config.output == "frame" and self.view.kind == "window"

    @cached_property
    def severity(self) -> Severity:
        if self.pool.severity is None:
            raise DataError(
                f"mask pool: knows no real contrasts of class {self.pool.class_name}; leave contrast at any"
            )
        return self.pool.severity

    @cached_property
    def _by_key(self) -> dict[str, Sample]:
        return {normal.key: normal for normal in self.normals}

    @cached_property
    def fitting(self) -> Sequence[Sample]:
        """The normal pictures that it can begin with.

        Raises:
            DataError: there is none.
        """
        fitting, size = self._planner.fitting(self.normals), self.view.size
        if not self.in_frames:
            return fitting
        large = [normal for normal in fitting if min(normal.image.shape[:2]) >= size]
        if not large:
            raise DataError(
                f"generation.output frame: all {len(fitting)} normal pictures are smaller than the window of"
                f" {size} px; set generation.output=view"
            )
        return large

    @cached_property
    def _planner(self) -> MaskPlanner:
        return MaskPlanner(self.pool, self.view, self.masks)


@dataclass(frozen=True)
class PlannedImage:
    """One try of an image before the generator.

    Attributes:
        attempt: 0 first.
        normal: the picture that it begins with.
        onto: what was made of it so far; None = nothing.
        mask: the view of it, and where the anomaly is to be.
        contrast: grey levels that the anomaly is to stand out by; None = as generated.
        light: what the finished picture is lit by; None = as it is.
        unplaced: plans before this one that had no room.
    """

    index: int
    attempt: int
    normal: Sample
    onto: Sample | None
    mask: PlannedMask
    contrast: float | None
    light: Light | None
    unplaced: int
