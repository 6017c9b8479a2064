"""Warnings of a run that goes wrong slowly: a discriminator that always wins, a gradient far above the rest."""

from collections import deque
from statistics import median

import torch

from anomaly_gan.config import LossConfig
from anomaly_gan.gan import losses

NEAR_ZERO_SHARE = 0.02
"""Of what a discriminator that cannot tell loses."""
NEAR_ZERO_STEPS = 50
OUTLIER_FACTOR = 10.0
REMEMBERED_STEPS = 100
LEAST_STEPS = 20


class HealthWatch:
    """Looks at every step's terms; each bad spell is told once.

    A resumed run begins to watch anew: what it would remember is at most the last 100 steps.
    """

    def __init__(self, config: LossConfig) -> None:
        undecided = torch.zeros(1)
        self._near_zero = NEAR_ZERO_SHARE * losses.loss_d1(undecided, undecided, config).item()
        self._is_bounded = config.adversarial != "d2gan"  # d2gan's loss has no least value
        self._steps_near_zero = dict.fromkeys(("d1_abnl", "d1_norm", "d2_abnl", "d2_norm"), 0)
        self._norms: dict[str, deque[float]] = {name: deque(maxlen=REMEMBERED_STEPS) for name in ("grad_d", "grad_g")}

    def look(self, step: int, terms: dict[str, float]) -> list[str]:
        """Sentences about this step, mostly none.

        Args:
            terms: as in `train_step.TERMS`.
        """
        return [*self._winning(step, terms), *self._outlying(step, terms)]

    def _winning(self, step: int, terms: dict[str, float]) -> list[str]:
        told = []
        for name in self._steps_near_zero if self._is_bounded else ():
            is_near = terms[name] < self._near_zero
            self._steps_near_zero[name] = self._steps_near_zero[name] + 1 if is_near else 0
            if self._steps_near_zero[name] == NEAR_ZERO_STEPS:
                told.append(
                    f"step {step}: {name} has been below {self._near_zero:.2g} for {NEAR_ZERO_STEPS} steps: the"
                    " discriminator wins; lower train.optim.lr_d or raise train.augment.probability"
                )
        return told

    def _outlying(self, step: int, terms: dict[str, float]) -> list[str]:
        told = []
        for name, norms in self._norms.items():
            usual = median(norms) if len(norms) >= LEAST_STEPS else 0.0
            if usual and terms[name] > OUTLIER_FACTOR * usual:
                told.append(f"step {step}: {name} is {terms[name]:.3g}, {terms[name] / usual:.0f} times its median")
            norms.append(terms[name])
        return told
