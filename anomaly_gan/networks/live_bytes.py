"""Counting the bytes of a computation that is run on shapes alone.

The one place that uses torch's private modules: torch has no public way to run a step without its numbers (torch
2.14). `torch._subclasses.fake_tensor` and the dispatch mode are what `torch.export` and `torch.compile` are built on,
and are named in torch's own tutorials. Should they move, this file alone changes.
"""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


@contextmanager
def counted_bytes() -> Iterator["LiveBytes"]:
    """Within it tensors have shapes but no values, and what is alive of them is counted."""
    with FakeTensorMode(), LiveBytes() as live:
        yield live


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages of all tensors made within it, for as long as they live.

    Attributes:
        bytes, peak: alive now, and the most that ever were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._note, made)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._known:
            self._known.add(storage)
            size = storage.nbytes()
            self.bytes += size
            self.peak = max(self.peak, self.bytes)
            weakref.finalize(storage, self._forget, size)

    def _forget(self, size: int) -> None:
        self.bytes -= size
