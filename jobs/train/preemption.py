"""How a rank of a train job learns that it is to stop: SIGTERM, or the notice that a node is to be taken away."""

import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import ray.train
import ray.train.collective
from ray.exceptions import RayActorError
from ray.train.backend import Backend
from ray.train.torch import TorchConfig

POLL_SEC = 2.0
"""About how often the ranks ask for a notice; Ray itself looks for one every 5 seconds."""

_sigterm = threading.Event()


def watch_sigterm(grace_sec: int) -> None:
    """Let SIGTERM ask instead of end; only the main thread may call this.

    A second SIGTERM ends the process as before. So does the alarm after `grace_sec`: its default action needs no
    Python, so a step that hangs cannot hold it up.
    """
    before = signal.getsignal(signal.SIGTERM)

    def on_sigterm(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        signal.alarm(grace_sec)
        _sigterm.set()

    signal.signal(signal.SIGTERM, on_sigterm)


class _WatchedTorchBackend(Backend):
    """Ray's torch backend, which also calls `watch_sigterm` on the main thread of every rank.

    Ray runs the train function on another thread, where Python installs no signal handler.
    """

    _torch = TorchConfig().backend_cls
    share_cuda_visible_devices = _torch.share_cuda_visible_devices

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        self._torch().on_start(worker_group, backend_config)
        worker_group.execute(watch_sigterm, backend_config.grace_sec)

    def on_training_start(self, worker_group: Any, backend_config: Any) -> None:
        self._torch().on_training_start(worker_group, backend_config)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        self._torch().on_shutdown(worker_group, backend_config)


@dataclass
class WatchedTorchConfig(TorchConfig):
    """`torch_config` of a trainer whose ranks ask a `StopNotice`.

    Attributes:
        grace_sec: from SIGTERM to the end of a rank.
    """

    grace_sec: int = 25

    @property
    def backend_cls(self) -> type[Backend]:
        return _WatchedTorchBackend


class StopNotice:
    """Says after each step whether this rank was asked to stop.

    Every rank must call it equally often: Ray's answer is a barrier over the ranks. A barrier takes some
    milliseconds, so only every n-th call asks, and rank 0 sends the others the next n, from its own pace.
    """

    def __init__(self) -> None:
        self._interval = 1
        self._calls_left = 1
        self._asked_at = time.monotonic()

    def __call__(self) -> bool:
        self._calls_left -= 1
        is_preempted = self._calls_left == 0 and self._ask()
        return _sigterm.is_set() or is_preempted

    def _ask(self) -> bool:
        is_preempted = ray.train.get_preemption_info() is not None
        now = time.monotonic()
        calls_per_sec = self._interval / max(now - self._asked_at, 1e-6)
        # no more than doubled: one quick step must not put off the next question for long
        interval = max(1, min(int(POLL_SEC * calls_per_sec), 2 * self._interval))
        self._interval = self._calls_left = ray.train.collective.broadcast_from_rank_zero(interval)
        self._asked_at = now
        return is_preempted


class GraceWatch:
    """Warns once when a rank that is asked to stop would end before its checkpoint is saved."""

    def __init__(self, grace_sec: int) -> None:
        self._grace_sec = grace_sec
        self._has_warned = False

    def look(self, step_sec: float, checkpoint_sec: float) -> str | None:
        """The warning, None most of the time.

        Args:
            step_sec: of a training step.
            checkpoint_sec: from the end of a step to its checkpoint's being in the store.
        """
        if self._has_warned or step_sec + checkpoint_sec <= self._grace_sec:
            return None
        self._has_warned = True
        return (
            f"a step and a checkpoint take {step_sec + checkpoint_sec:.0f} s, resources.stop_grace_sec is"
            f" {self._grace_sec}: a worker that is asked to stop would lose the steps since the last checkpoint;"
            " raise it, where whatever stops the workers waits as long"
        )


def end_stopped(step: int) -> NoReturn:
    """End every rank, once all are here: at the first error Ray ends them all, the one that saves included.

    Raises:
        RayActorError: always. Ray takes it for a worker lost with its node, so it restarts the group and
            leaves `max_failures` alone.
    """
    ray.train.collective.barrier()
    raise RayActorError(error_msg=f"asked to stop at step {step}; the checkpoint is saved", preempted=True)
