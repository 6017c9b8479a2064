"""What a driver remembers of the commits of millions of images."""

from collections.abc import Iterable, Iterator

import numpy as np

from jobs.tasks.commits import TaskCommit


class Ledger:
    """The commits of a job by task, in some 200 bytes each; they come out in the order of the tasks."""

    def __init__(self, tasks: int, commits: Iterable[TaskCommit] = ()) -> None:
        self._parts: list[bytes | None] = [None] * tasks
        self._digests = [b""] * tasks
        self._sizes = np.zeros(tasks, np.int64)
        self._items = np.zeros(tasks, np.int64)
        self._sums: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for one in commits:
            self.add(one)

    def add(self, commit: TaskCommit) -> None:
        task = commit.task
        self._parts[task] = commit.part.encode()
        self._digests[task] = bytes.fromhex(commit.sha256)
        self._sizes[task], self._items[task] = commit.size_bytes, commit.items
        for name, (value, number) in commit.sums.items():
            if name not in self._sums:
                self._sums[name] = self._column()
            values, numbers = self._sums[name]
            values[task], numbers[task] = value, number

    def remove(self, task: int) -> None:
        self._parts[task] = None
        self._items[task] = 0
        for _, numbers in self._sums.values():
            numbers[task] = -1

    @property
    def items(self) -> int:
        """Number of items in all commits."""
        return int(self._items.sum())

    def missing(self) -> list[int]:
        """The tasks without a commit."""
        return [task for task, part in enumerate(self._parts) if part is None]

    def __iter__(self) -> Iterator[TaskCommit]:
        for task, part in enumerate(self._parts):
            if part is not None:
                yield TaskCommit(
                    task=task,
                    part=part.decode(),
                    size_bytes=int(self._sizes[task]),
                    sha256=self._digests[task].hex(),
                    items=int(self._items[task]),
                    sums={
                        name: (float(values[task]), int(numbers[task]))
                        for name, (values, numbers) in self._sums.items()
                        if numbers[task] >= 0
                    },
                )

    def _column(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums by task for one name, and the number of items in each; -1 = the commit has no such sum."""
        return np.zeros(len(self._parts)), np.full(len(self._parts), -1, np.int64)
