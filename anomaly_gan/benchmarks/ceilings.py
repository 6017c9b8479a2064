"""What the hardware gives at best: large matrix products, and copies in its memory."""

from collections.abc import Callable
from functools import partial

import torch

from anomaly_gan.benchmarks.measuring import Figures, in_turn, repeated, timed
from anomaly_gan.progress import Progress

DTYPES = {"matrix product, bf16": torch.bfloat16, "matrix product, fp32": torch.float32}
COPY = "copy"
CALLS = 5
"""Products, or copies, in one round of measuring."""


def measure_ceilings(side: int, copied_mib: int, device: torch.device, repeats: int, progress: Progress) -> Figures:
    """TFLOP/s of products of two square matrices, and GB/s of a copy, read and written bytes together.

    Args:
        side: rows of the square matrices; a GPU wants 8192.
        copied_mib: MiB of the copied tensor; more than the device's caches hold.
        device: what is measured.
        repeats: rounds that count.
        progress: called after each round.
    """
    runs: dict[str, Callable[[], object]] = {}
    for name, dtype in DTYPES.items():
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        runs[name] = repeated(partial(torch.mm, left, right, out=torch.empty_like(left)), CALLS)
    source = torch.ones(copied_mib * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    runs[COPY] = repeated(partial(target.copy_, source), CALLS)
    seconds = in_turn({name: timed(run, device) for name, run in runs.items()}, repeats, progress)
    operations, moved = CALLS * 2 * side**3, CALLS * 2 * source.nbytes
    rounds = {name: {"tflop_per_sec": [operations / value / 1e12 for value in seconds[name]]} for name in DTYPES}
    return Figures({**rounds, COPY: {"gb_per_sec": [moved / value / 1e9 for value in seconds[COPY]]}}, {})
