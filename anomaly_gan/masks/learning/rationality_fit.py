"""Learning the rationality of placements: real masks against random placements in the same pictures."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.learning.logistic import Floats, fit_logistic, rank_auc
from anomaly_gan.masks.placing.transform import random_pixel, transform
from anomaly_gan.masks.pool.pool import Element, build_pool
from anomaly_gan.masks.rationality.context import PLACE, PictureContext, PlacedPart, describe_picture
from anomaly_gan.masks.rationality.habits import RealPart, learn_habits
from anomaly_gan.masks.rationality.rationality import TERMS, Rationality, Term, expand, measure_placement
from anomaly_gan.samples.sample import Sample

PENALTY = 3.0
"""Penalty of squared coefficients, where each group weighs 1: with ten groups only a clear difference moves them."""

ROUNDS = 12
MOST_ROUNDS = 1500
"""Random placements of each of the four kinds in a picture, and in all pictures: fewer for many pictures."""

MAX_FOLDS = 20
STANDARD_ERRORS = 3

ALL = np.ones(len(TERMS), bool)
NOT_PLACE = np.array([name not in PLACE for name in TERMS])

Kind = Literal["real", "moved", "drawn"]
RANDOM: tuple[Kind, Kind] = ("moved", "drawn")


@dataclass(frozen=True)
class _Shape:
    """A shape in its place, as `PlacedPart` describes it."""

    mask: NDArray[np.uint8]
    left: int
    top: int


@dataclass(frozen=True)
class _Example:
    """A placement.

    Attributes:
        kind: real; the same shapes moved; or drawn as `place` does.
        hangs: it was allowed to hang over the border; such ones teach, but do not count in an AUC.
        measured: [parts, K], see `measure_placement`.
    """

    kind: Kind
    hangs: bool
    group: str
    measured: Floats


@dataclass(frozen=True)
class _Model:
    mean: Floats
    deviation: Floats
    bias: float
    coefficients: Floats

    def odds(self, examples: Sequence[_Example]) -> Floats:
        """Logs [N] of the odds to be real."""
        return self.bias + _expand(examples, self.mean, self.deviation) @ self.coefficients


def fit_rationality(samples: Sequence[Sample], class_name: str, *, seed: int = 0) -> Rationality:
    """Learn where, how large, in which direction and how many the real anomalies of a class are.

    Pictures of a group are near-duplicates: each group weighs the same, however many pictures it has, and is held
    out as a whole. A sample without a group in its meta is one of its own.

    Args:
        samples: of the training split only; those without the class are passed over.
        class_name: whose masks to learn.
        seed: of the random placements; the same input gives the same model.

    Raises:
        DataError: no mask of the class has a part that is large enough.
    """
    elements: dict[str, list[Element]] = {}
    for element in build_pool(samples, class_name).elements:
        elements.setdefault(element.source, []).append(element)
    real = [sample for sample in samples if sample.key in elements]
    rng = np.random.default_rng(seed)
    contexts = {one.key: describe_picture(one.image, np.maximum.reduce(list(one.masks.values()))) for one in real}
    examples = [example for sample in real for example in _examples(sample, contexts[sample.key], elements, rng)]
    aucs = _held_out_aucs(examples, ALL)
    auc, placement_auc, knows_place = None, None, True
    if len(aucs) > 1:
        auc, placement_auc = aucs.mean(axis=0).tolist()
        error = float(aucs[:, 0].std(ddof=1)) / len(aucs) ** 0.5
        knows_place = auc - STANDARD_ERRORS * error > 0.5
        if not knows_place:
            placement_auc = float(_held_out_aucs(examples, NOT_PLACE)[:, 1].mean())
    model = _fit(examples, ALL if knows_place else NOT_PLACE)
    columns = (model.mean, model.deviation, *np.split(model.coefficients, 2))
    return Rationality(
        class_name=class_name,
        masks=len(real),
        groups=len({example.group for example in examples}),
        auc=auc,
        placement_auc=placement_auc,
        knows_place=knows_place,
        bias=model.bias,
        terms=tuple(
            Term(feature=name, mean=mean, deviation=deviation, linear=linear, square=square)
            for name, mean, deviation, linear, square in zip(TERMS, *(c.tolist() for c in columns), strict=True)
        ),
        habits=learn_habits(
            [RealPart(one.id, one, contexts[source]) for source, cut in elements.items() for one in cut]
        ),
    )


def _examples(
    sample: Sample, context: PictureContext, elements: Mapping[str, Sequence[Element]], rng: np.random.Generator
) -> Iterator[_Example]:
    """The real placement of a picture, and random ones of the same shapes and of any of the class."""
    size = sample.image.shape[:2]
    group = str(sample.meta.get("group", sample.key))
    own = [element.mask for element in elements[sample.key]]
    every = [element.mask for cut in elements.values() for element in cut]

    def measure(kind: Kind, hangs: bool, parts: Sequence[PlacedPart]) -> _Example:
        measured = measure_placement(context, parts)
        assert measured is not None
        return _Example(kind, hangs, group, measured)

    yield measure("real", False, elements[sample.key])
    for _ in range(max(1, min(ROUNDS, MOST_ROUNDS // len(elements)))):
        for hangs in (False, True):
            yield measure("moved", hangs, [_throw(mask, size, hangs, rng) for mask in own])
            yield measure("drawn", hangs, [_throw(mask, size, hangs, rng) for mask in _draw(every, rng)])


def _draw(shapes: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """Random shapes, as many as `place` combines by default, turned and scaled as it does."""
    config = MaskConfig()
    return [
        transform(
            shapes[int(rng.integers(len(shapes)))],
            float(rng.uniform(config.angle_min, config.angle_max)),
            float(rng.uniform(config.scale_min, config.scale_max)),
        )
        for _ in range(int(rng.integers(config.min_parts, config.max_parts + 1)))
    ]


def _throw(mask: NDArray[np.uint8], size: tuple[int, ...], hangs: bool, rng: np.random.Generator) -> _Shape:
    """A shape anywhere wholly inside a picture of (height, width).

    A shape that `hangs`, or is larger than the picture, goes with any of its pixels on any of the picture's.
    """
    height, width = size
    if hangs or mask.shape[0] > height or mask.shape[1] > width:
        row, column = random_pixel(mask, rng)
        return _Shape(mask, left=int(rng.integers(width)) - column, top=int(rng.integers(height)) - row)
    top, left = (int(rng.integers(side - length + 1)) for side, length in zip(size, mask.shape, strict=True))
    return _Shape(mask, left, top)


def _expand(examples: Sequence[_Example], mean: Floats, deviation: Floats) -> Floats:
    """Features [N, 2 * K] of placements, see `expand`."""
    parts = np.concatenate([example.measured for example in examples])
    return expand(parts, [len(example.measured) for example in examples], mean, deviation)


def _fit(examples: Sequence[_Example], used: NDArray[np.bool_]) -> _Model:
    """Real against all random examples; both, and every group in them, weigh the same. Terms not used weigh nothing."""
    is_real = np.array([example.kind == "real" for example in examples])
    members = Counter((example.group, example.kind == "real") for example in examples)
    weights = np.array([1 / members[example.group, example.kind == "real"] for example in examples])
    counts = [len(example.measured) for example in examples]
    parts = np.concatenate([example.measured for example in examples])
    of_part = np.repeat(weights / counts, counts)
    mean = np.average(parts, axis=0, weights=of_part)
    deviation = np.sqrt(np.average((parts - mean) ** 2, axis=0, weights=of_part))
    deviation = np.maximum(deviation, 1e-6)  # the same everywhere: z = 0
    features = expand(parts, counts, mean, deviation) * np.tile(used, 2)
    return _Model(mean, deviation, *fit_logistic(features, is_real, weights, PENALTY))


def _held_out_aucs(examples: Sequence[_Example], used: NDArray[np.bool_]) -> Floats:
    """[groups, 2]: AUC of real against moved and against drawn, by a model that has not seen the group.

    Empty where there is only one group.
    """
    groups = sorted({example.group for example in examples})
    folds = min(len(groups), MAX_FOLDS)
    aucs = []
    for fold in range(folds if folds > 1 else 0):
        held_out = groups[fold::folds]
        model = _fit([example for example in examples if example.group not in held_out], used)
        judged = [example for example in examples if example.group in held_out and not example.hangs]
        odds: dict[tuple[str, Kind], list[float]] = defaultdict(list)
        for example, value in zip(judged, model.odds(judged).tolist(), strict=True):
            odds[example.group, example.kind].append(value)
        aucs += [[rank_auc(odds[group, "real"], odds[group, kind]) for kind in RANDOM] for group in held_out]
    return np.array(aucs)
