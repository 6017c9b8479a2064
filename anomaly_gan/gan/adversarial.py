"""The forms of the adversarial game (Eqs. 2 to 5), one row each, as functions of a logit s.

| form | D loses where s should be high | where s should be low | G minimises: s to rise | s to fall |
|---|---|---|---|---|
| `paper` | -log D | -log(1 - D) | log(1 - D) | log D |
| `nonsaturating` | -log D | -log(1 - D) | -log D | -log(1 - D) |
| `d2gan` | -log D | D | -D | log D |
| `lsgan` | (s - 1)^2 / 2 | s^2 / 2 | (s - 1)^2 / 2 | s^2 / 2 |
| `hinge` | max(0, 1 - s) | max(0, 1 + s) | -s | s |

D is sigmoid(s) in the first two rows and softplus(s), any positive number, in `d2gan` (Nguyen et al. 2017; its weights
of the logarithms are applied in `losses.py`). With the sigmoid, log D = -softplus(-s) and log(1 - D) = -softplus(s),
which stay finite where the logarithm would not. `paper` saturates: its gradient vanishes where a discriminator is sure.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


class Form(NamedTuple):
    """Four functions of logits; each keeps the shape, here [N], and the dtype.

    Attributes:
        high: what a discriminator loses on an image that it should score high.
        low: what it loses on an image that it should score low.
        rise: what a generator minimises so that a discriminator scores its image higher.
        fall: what it minimises so that a discriminator scores its image lower.
    """

    high: Callable[[Tensor], Tensor]
    low: Callable[[Tensor], Tensor]
    rise: Callable[[Tensor], Tensor]
    fall: Callable[[Tensor], Tensor]


def log_softplus(logits: Tensor) -> Tensor:
    """log(log(1 + e^s)), which is s for s << 0, where e^s alone is 0 in fp32; its slope goes to 1 there.

    From -15 down the two differ by less than half a step of fp32.
    """
    return torch.where(logits <= -15, logits, softplus(logits.clamp(min=-15)).log())


FORMS: dict[str, Form] = {
    "paper": Form(
        high=lambda s: softplus(-s),
        low=lambda s: softplus(s),
        rise=lambda s: -softplus(s),
        fall=lambda s: -softplus(-s),
    ),
    "nonsaturating": Form(
        high=lambda s: softplus(-s),
        low=lambda s: softplus(s),
        rise=lambda s: softplus(-s),
        fall=lambda s: softplus(s),
    ),
    "d2gan": Form(
        high=lambda s: -log_softplus(s),
        low=lambda s: softplus(s),
        rise=lambda s: -softplus(s),
        fall=log_softplus,
    ),
    "lsgan": Form(
        high=lambda s: (s - 1).square() / 2,
        low=lambda s: s.square() / 2,
        rise=lambda s: (s - 1).square() / 2,
        fall=lambda s: s.square() / 2,
    ),
    "hinge": Form(
        high=lambda s: relu(1 - s),
        low=lambda s: relu(1 + s),
        rise=lambda s: -s,
        fall=lambda s: s,
    ),
}
