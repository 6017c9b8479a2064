"""What the figures of a benchmark depend on."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def describe(threads: int, device: torch.device) -> dict[str, Any]:
    """The machine and the versions, as JSON has them.

    `load_average` is the mean number of processes that ran or wanted to in the minute before.
    """
    return {
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "threads": threads,
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            "load_average": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
