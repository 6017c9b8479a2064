"""The parts of a training step, each alone, on the inputs and shapes that the step gives it.

Crops, losses, image pools, gradient norms and averaged weights are no parts: they are what a step adds to its parts.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from anomaly_gan.gan.state import Seen, TrainState
from anomaly_gan.gan.step import D_FAKE, D_REAL, look, share_of
from anomaly_gan.training.batches import Batch


class StepParts:
    """The parts of one step; what they take is made once, by the state's own networks.

    Call them in the order of `all`: the optimisers' steps need the gradients that the passes before them leave.
    """

    def __init__(self, state: TrainState, batch: Batch) -> None:
        self._state = state
        share, at = share_of(batch), batch.positions
        self._inputs = share.inputs(state.config)
        with torch.no_grad():
            fakes = state.generators(*self._inputs)
            self._real_abnl = look(state, share.abnormal, share.prior, at, D_REAL)
            self._fake_abnl = look(state, fakes.fake_abnormal, share.expert, at, D_FAKE)
            self._real_norm = look(state, share.normal, share.expert, at, D_REAL)
            self._fake_norm = look(state, fakes.fake_normal, share.prior, at, D_FAKE)

    def all(self) -> dict[str, Callable[[], None]]:
        parts = {
            "generators, four translations": self.generators,
            "discriminators, real and generated": self.discriminators,
            "discriminators, for the generators": self.frozen_discriminators,
            "aware network": self.aware_network,
            "optimiser of the generators": self.generators_optimiser,
            "optimiser of the discriminators": self.discriminators_optimiser,
        }
        if self._state.config.loss.aware != "network":
            del parts["aware network"]
        return parts

    def generators(self) -> None:
        """Forward and backward of both cycles."""
        self._state.optim_g.zero_grad(set_to_none=True)
        _backward(*self._state.generators(*self._inputs))

    def discriminators(self) -> None:
        """Forward and backward of all four, as in their own update."""
        self._state.optim_d.zero_grad(set_to_none=True)
        seen = (self._real_abnl, self._fake_abnl, self._real_norm, self._fake_norm)
        _backward(*self._state.discriminators(*seen))

    def frozen_discriminators(self) -> None:
        """Forward, and backward to the generated images alone, as in the generators' update."""
        nets = self._state.discriminators
        nets.requires_grad_(False)
        fake_abnl, fake_norm = _leaves(self._fake_abnl), _leaves(self._fake_norm)
        _backward(
            nets.judge("d1_abnl", fake_abnl),
            nets.judge("d1_norm", fake_norm),
            nets.judge("d2_abnl", fake_abnl),
            nets.judge("d2_norm", fake_norm),
            *([nets.judge_texture(fake_abnl.native)] if nets.critic is not None else []),
        )
        nets.requires_grad_(True)

    def aware_network(self) -> None:
        """Forward on real crops; forward and backward on generated ones."""
        with torch.no_grad():
            self._state.features(torch.cat([self._real_norm.crop, self._real_abnl.crop])[:, :3])
        fake = torch.cat([self._fake_norm.crop, self._fake_abnl.crop])[:, :3]
        _backward(*self._state.features(fake.detach().requires_grad_()))

    def generators_optimiser(self) -> None:
        self._state.optim_g.step()

    def discriminators_optimiser(self) -> None:
        self._state.optim_d.step()


def _leaves(seen: Seen) -> Seen:
    view, crop, native = (tensor.detach().requires_grad_() for tensor in (seen.view, seen.crop, seen.native))
    return Seen(view, crop, seen.has_mask, native)


def _backward(*outputs: Tensor) -> None:
    """A backward pass as from a mean over all values."""
    torch.autograd.backward(outputs, [torch.full_like(output, 1 / output.numel()) for output in outputs])
