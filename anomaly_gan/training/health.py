"""Warnings of a run that goes wrong slowly: a discriminator that always wins, a gradient far above the rest."""

from collections import deque
from statistics import median

from anomaly_gan.training.method import Watched

NEAR_ZERO_SHARE = 0.02
"""A loss below this share of what an undecided discriminator loses is near 0."""
NEAR_ZERO_STEPS = 50
OUTLIER_FACTOR = 10.0
REMEMBERED_STEPS = 100
LEAST_STEPS = 20


class HealthWatch:
    """Looks at every step's terms; each bad spell is reported once.

    A resumed run begins to watch anew: what it would remember is at most the last 100 steps.
    """

    def __init__(self, watched: Watched) -> None:
        self._near_zero = {name: NEAR_ZERO_SHARE * loss for name, loss in watched.undecided.items()}
        self._steps_near_zero = dict.fromkeys(watched.undecided, 0)
        self._norms: dict[str, deque[float]] = {name: deque(maxlen=REMEMBERED_STEPS) for name in watched.norms}

    def look(self, step: int, terms: dict[str, float]) -> list[str]:
        """Sentences about this step, mostly none.

        Args:
            terms: of the method, by name.
        """
        return [*self._winning(step, terms), *self._outlying(step, terms)]

    def _winning(self, step: int, terms: dict[str, float]) -> list[str]:
        warnings = []
        for name, near_zero in self._near_zero.items():
            is_near = terms[name] < near_zero
            self._steps_near_zero[name] = self._steps_near_zero[name] + 1 if is_near else 0
            if self._steps_near_zero[name] == NEAR_ZERO_STEPS:
                warnings.append(
                    f"step {step}: {name} has been below {near_zero:.2g} for {NEAR_ZERO_STEPS} steps: the"
                    " discriminator wins; lower train.optim.lr_d or raise train.augment.probability"
                )
        return warnings

    def _outlying(self, step: int, terms: dict[str, float]) -> list[str]:
        warnings = []
        for name, norms in self._norms.items():
            usual = median(norms) if len(norms) >= LEAST_STEPS else 0.0
            if usual and terms[name] > OUTLIER_FACTOR * usual:
                warnings.append(f"step {step}: {name} is {terms[name]:.3g}, {terms[name] / usual:.0f} times its median")
            norms.append(terms[name])
        return warnings
