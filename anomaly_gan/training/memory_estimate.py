"""How much memory a training takes, as numbers that need no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the device of one rank; libraries' own workspace and the allocator's rounding come on top.

    Attributes:
        resting: weights, optimisers' state, averaged weights and full image pools.
        peak: the most at any moment of a step, `resting` included.
        image_pools: of both, what the full image pools take.
    """

    resting: int
    peak: int
    image_pools: int = 0
