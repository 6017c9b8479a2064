"""Which generator of a run is published: it is measured at each checkpoint, and the choice is told with its reason."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.anomaly_distance import AnomalyDistance
from anomaly_gan.evaluation.anomaly_unlikeness import AnomalyUnlikeness
from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.generation.generate import Generated
from anomaly_gan.metrics.features.network import load_features
from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.networks.generator import Generator, make_generator
from anomaly_gan.training.method import Method
from anomaly_gan.training.selection import Selection
from anomaly_gan.training.validation import LearntAndHeld
from infra.errors import AganError

FEATURES = "lite0"
"""Its weights come with a package, and no loss of any method knows its features."""

MEASURE, UNLIKENESS = "anomaly_kid", "anomaly_unlikeness"
DEVIATION = "_deviation"
"""End of the name of a measure's standard error."""
PUBLISHED_MEASURE = "published_kid"
"""`anomaly_kid` of what would be published if the run ended now; what a search minimises."""

VIEW_SEED = 0
"""Runs of different seeds are compared by the same views of the real anomalies."""


class Publication:
    """Measures a run's checkpoints and chooses one, by the anomalies of a validation split where there is one.

    Where so few pictures are known that none is held out, generators with exemplars are compared by how unlike the
    training anomalies they look, and the first weights are one of them: they lay real texture, and a few pictures can
    teach them something worse. Else the last checkpoint is published. The distance is measured all the same, from
    the training anomalies: it says little of one model, but trials of a search can be compared by it.

    Attributes:
        seen: the anomalies that were measured last; None before.
    """

    def __init__(
        self, data: LearntAndHeld, view: ViewConfig, method: Method, device: torch.device, state: dict[str, Any]
    ) -> None:
        """
        Args:
            state: of the run's selection, from a checkpoint; empty at the beginning.
        """
        self._data, self._method = data, method
        self._selection = Selection()
        self._selection.load_state_dict(state)
        self.seen: CropFeatures | None = None
        self._latest: HalvedDistance | None = None
        self._unmeasured = ""
        self._distance: AnomalyDistance | None = None
        real = data.held_abnormals or data.abnormals
        try:
            network = load_features(FEATURES, device=str(device))
            self._distance = AnomalyDistance(network, real, data.pool.class_name, view, seed=VIEW_SEED)
        except AganError as err:
            self._unmeasured = str(err)
        self._looks: AnomalyUnlikeness | None = None
        if not data.held_abnormals and method.config.validation and method.generator.exemplars:
            self._looks = AnomalyUnlikeness(data.abnormals, data.pool.class_name, view, seed=VIEW_SEED)

    @property
    def beginning(self) -> str:
        """A sentence on what the checkpoints will be compared by."""
        if self._looks is not None:
            return (
                f"validation: nothing is held out: {self._data.reason}; the first weights and the checkpoints are"
                f" compared by how unlike the {self._looks.anomalies} training anomalies they look"
            )
        if self._last_because:
            return f"validation: the last checkpoint will be published, for {self._last_because}"
        held = f"{len(self._data.held_abnormals)} abnormal and {len(self._data.held_normals)} normal pictures"
        return (
            f"validation: {held} are not learnt from; checkpoints are compared by {self._anomalies} anomalies of them"
        )

    @property
    def sees_first_weights(self) -> bool:
        """Whether the generator before the first step is a candidate, which `measure` takes as step 0."""
        return self._looks is not None

    def measure(self, step: int, images: Sequence[Generated], measures: dict[str, float]) -> dict[str, float]:
        """The measures of a checkpoint that is due at this step, with the distance; it becomes a candidate.

        Args:
            images: made by the averaged generator as it is now, the same ones at every call.
            measures: whatever else was measured of them.
        """
        compared: HalvedDistance | None = None
        if self._distance is not None:
            self.seen = self._distance.seen(images)
            self._latest = self._distance.of(self.seen)
            measures = {**measures, **_told(MEASURE, self._latest)}
            compared = None if self._data.reason else self._latest
        if self._looks is not None:
            compared = self._looks.of(images)
            measures = {**measures, **_told(UNLIKENESS, compared)}
        if compared is not None:
            self._selection.see(step, compared, measures, self._method.generator)
        return measures

    def state_dict(self) -> dict[str, Any]:
        return self._selection.state_dict()

    @property
    def published_measure(self) -> float:
        """Of what would be published now; NaN where nothing was measured."""
        chosen = self._selection.chosen
        if chosen is not None:
            return chosen.measures.get(MEASURE, math.nan)
        return self._latest.value if self._latest else math.nan

    @property
    def generator(self) -> Generator:
        """What is published."""
        chosen = self._selection.chosen
        if chosen is None:
            return self._method.generator
        generator = make_generator(self._method.config.model)
        generator.load_state_dict(chosen.weights)
        generator.exemplars = self._method.generator.exemplars
        return generator.eval()

    def record(self, measures: dict[str, float]) -> dict[str, Any]:
        """What the model's description says of what is published, and why.

        Args:
            measures: of the run's last generator; those of the published one stand in the record.
        """
        chosen, best = self._selection.chosen, self._selection.best
        step = self._method.step if chosen is None else chosen.step
        measures = measures if chosen is None else chosen.measures
        if chosen is None or best is None:
            reason = f"the last checkpoint, for {self._last_because or 'no other one was measured'}"
        else:
            reason = (
                f"the latest checkpoint that is not worse than the best one (step {best[0]}: {best[1].value:.4f})"
                " by more than the standard error of their difference"
            )
        measure = MEASURE if self._looks is None else UNLIKENESS
        published = {
            "step": step,
            "total_steps": self._method.config.total_steps,
            "reason": reason,
            "measure": measure if measure in measures else None,
            "value": measures.get(measure),
            "deviation": measures.get(measure + DEVIATION),
            "compared_with": "validation" if self._data.held_abnormals else "training",
            "anomalies": self._anomalies,
            "features": self._distance.source.model_dump() if self._distance and self._looks is None else None,
        }
        return {
            "nimg": step * self._method.config.batch_size,
            "measures": measures,
            "published": published,
            "validation": {
                "normal_images": len(self._data.held_normals),
                "abnormal_images": len(self._data.held_abnormals),
            },
        }

    @property
    def _last_because(self) -> str:
        """Why no checkpoint is chosen; empty where one is."""
        if self._looks is not None:
            return ""
        if self._data.reason:
            return f"nothing is held out: {self._data.reason}"
        return f"nothing is measured: {self._unmeasured}" if self._unmeasured else ""

    @property
    def _anomalies(self) -> int:
        measured_by = self._looks or self._distance
        return measured_by.anomalies if measured_by else 0


def _told(measure: str, distance: HalvedDistance) -> dict[str, float]:
    return {measure: distance.value, measure + DEVIATION: distance.deviation}
