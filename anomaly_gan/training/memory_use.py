"""What a training really takes of the memory, beside what was estimated."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from anomaly_gan.training.memory_estimate import MemoryEstimate
from anomaly_gan.training.method import Method

TOLERANCE = 0.2
"""Share of the estimate by which a GPU's peak may differ without a warning."""


@dataclass(frozen=True)
class MemoryUse:
    """One rank's peak over the first steps.

    Attributes:
        estimated_bytes: of these steps, so with image pools as full as they then are.
        used_bytes: on a GPU what its tensors took; on CPU the growth of the whole process, libraries and decoded
            pictures included.
        is_exact: the two can be compared, as on a GPU.
    """

    estimated_bytes: int
    used_bytes: int
    is_exact: bool

    def summary(self) -> str:
        """A line for the log."""
        what = "of the GPU" if self.is_exact else "by which the process grew"
        return f"memory: {_gib(self.used_bytes)} {what}, {_gib(self.estimated_bytes)} estimated"

    def warning(self) -> str | None:
        """A sentence where the estimate was wrong; None where it was right, or cannot be judged."""
        if not self.is_exact or abs(self.used_bytes - self.estimated_bytes) <= TOLERANCE * self.estimated_bytes:
            return None
        return (
            f"memory: {_gib(self.used_bytes)} used where {_gib(self.estimated_bytes)} were estimated; trust the first,"
            " and the estimate no more than that for other sizes"
        )


class MemoryWatch:
    """Made before the state is; asked once, after the first steps."""

    def __init__(self, estimate: MemoryEstimate, device: torch.device, peak: Callable[[], int] | None = None) -> None:
        """
        Args:
            estimate: of this rank.
            device: where it trains.
            peak: the most bytes taken since now; None = what torch, or the system, says.
        """
        self._estimate = estimate
        self._is_exact = device.type == "cuda"
        self._peak = peak or (_gpu_peak(device) if self._is_exact else _process_growth())

    def compare(self, method: Method) -> MemoryUse:
        pools = (pool.histories.values() for pool in method.image_pools.values())
        held = sum(kept.nbytes for histories in pools for pairs in histories for pair in pairs for kept in pair)
        return MemoryUse(self._estimate.peak - self._estimate.image_pools + held, self._peak(), self._is_exact)


def resident_bytes() -> int:
    """Memory that this process takes now."""
    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """The most memory that this process has taken."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _gpu_peak(device: torch.device) -> Callable[[], int]:
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: torch.cuda.max_memory_allocated(device)


def _process_growth() -> Callable[[], int]:
    before = resident_bytes()
    return lambda: max(peak_resident_bytes() - before, 0)


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
