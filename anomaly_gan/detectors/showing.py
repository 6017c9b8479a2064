"""Which picture a detector is shown next: streams take turns by their shares, each in an order of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.sample import Sample


@dataclass(frozen=True)
class Stream:
    """Pictures that fill a share of all that a detector is shown.

    Attributes:
        name: with the seed it decides their order, whatever else is shown.
        share: 0..1; those of all streams add up to 1.
        samples: shown in passes, each in a new order.
        adapts: pictures of whose anomalies the detector misses much are shown more often than others.
    """

    name: str
    share: float
    samples: Sequence[Sample]
    adapts: bool = False


class Draws:
    """(stream, sample) of one image after the other, without end.

    Streams take turns as their shares say: after any number of images each has had its share, to less than one image.
    A stream's own order depends on the seed and its name alone, so that arms which share it see it alike.
    """

    def __init__(self, streams: Sequence[Stream], seed: int) -> None:
        self._streams, self._seed = streams, seed
        self._orders = [_in_passes(len(stream.samples), self._rng(stream)) for stream in streams]
        self._owed = [0.0] * len(streams)
        self._weighed = 0

    def __iter__(self) -> "Draws":
        return self

    def __next__(self) -> tuple[int, int]:
        self._owed = [debt + stream.share for debt, stream in zip(self._owed, self._streams, strict=True)]
        chosen = max(range(len(self._streams)), key=self._owed.__getitem__)
        self._owed[chosen] -= 1
        return chosen, next(self._orders[chosen])

    def weigh(self, stream: int, chances: NDArray[np.float64]) -> None:
        """Show the pictures of a stream by these chances from now on.

        Args:
            chances: of each picture, all above 0; they add up to 1.
        """
        self._weighed += 1
        self._orders[stream] = _by_chance(chances, self._rng(self._streams[stream], self._weighed))

    def _rng(self, stream: Stream, *more: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, crc32(stream.name.encode()), *more])


def _in_passes(count: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(count).tolist()


def _by_chance(chances: NDArray[np.float64], rng: np.random.Generator) -> Iterator[int]:
    """In passes as long as there are pictures, with each in it as often as it is owed, to less than once."""
    count, ends = len(chances), np.cumsum(chances)
    while True:
        # equally spaced from a random beginning: as if each picture had a stretch as long as its chance
        places = (rng.random() + np.arange(count)) / count * ends[-1]
        yield from rng.permutation(np.searchsorted(ends, places, side="right").clip(max=count - 1)).tolist()
