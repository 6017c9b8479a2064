"""Which averaged generator a run publishes: by a measure that no loss contains, and robust against its noise."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.networks.generator import Generator


@dataclass(frozen=True)
class Candidate:
    """An averaged generator that was measured.

    Attributes:
        step: updates done.
        distance: to the held-out anomalies; lower is better.
        measures: whatever else was measured of it.
        weights: on the CPU.
    """

    step: int
    distance: HalvedDistance
    measures: dict[str, float]
    weights: dict[str, Tensor]


class Selection:
    """The choice among all candidates so far: the latest that is not worse than the best one.

    A candidate is worse where its distance is above the best one's by more than the standard error of their difference.
    So noise does not bring an early generator back, for the averages of later steps, with lower learning rates, are the
    better ones as a rule. A choice only ever moves to the newest candidate, so the weights of one are enough.

    Attributes:
        chosen: None before the first candidate.
        best: step and distance of the lowest distance so far.
    """

    def __init__(self) -> None:
        self.chosen: Candidate | None = None
        self.best: tuple[int, HalvedDistance] | None = None

    def see(self, step: int, distance: HalvedDistance, measures: dict[str, float], generator: Generator) -> bool:
        """Consider a later generator than all before; whether it is the choice now."""
        if self.best is None or distance.value < self.best[1].value:
            self.best = (step, distance)
        lowest = self.best[1]
        if distance.value - lowest.value > distance.noise_against(lowest):
            return False
        weights = {name: tensor.detach().cpu().clone() for name, tensor in generator.state_dict().items()}
        self.chosen = Candidate(step, distance, measures, weights)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for a checkpoint; empty before the first candidate."""
        if self.chosen is None or self.best is None:
            return {}
        step, lowest = self.best
        kept = {"step": self.chosen.step, "measures": self.chosen.measures, "weights": self.chosen.weights}
        return {
            "chosen": kept | {"distance": asdict(self.chosen.distance)},
            "best": {"step": step, "distance": asdict(lowest)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        if not state:
            return
        chosen, best = state["chosen"], state["best"]
        self.chosen = Candidate(**(chosen | {"distance": HalvedDistance(**chosen["distance"])}))
        self.best = (best["step"], HalvedDistance(**best["distance"]))
