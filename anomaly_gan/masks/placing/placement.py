"""Expert masks: elements of the pool, repositioned, rotated, scaled and combined (paper, Sec. 4.1.2)."""

from functools import partial

import cv2
import numpy as np

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.placing.arranging import Arranger
from anomaly_gan.masks.placing.choosing import area_limits, choose_element
from anomaly_gan.masks.placing.manner import Manner
from anomaly_gan.masks.placing.parts import EVERYWHERE, Ground, PlacedMask, unmet
from anomaly_gan.masks.pool.pool import Element, MaskPool
from infra.errors import DataError


def place(
    pool: MaskPool,
    size: int,
    config: MaskConfig,
    rng: np.random.Generator,
    *,
    ground: Ground = EVERYWHERE,
    like_real: bool = False,
    as_cut: bool = False,
) -> PlacedMask:
    """Draw one mask.

    An element of free pose that is larger than the view is cut to a piece around one of its pixels before any rule is
    applied.

    Args:
        pool: the elements of a class.
        size: side of the square view in px.
        config: pose, ranges, number of parts and rules.
        rng: the only source of chance.
        ground: where parts may go.
        like_real: draw the number of parts from those of real masks, instead of evenly from `min_parts` to `max_parts`:
            in training, so that the number of parts does not show a discriminator which images are generated. There
            are fewer parts where there are fewer anchors, but at least `min_parts`.
        as_cut: elements that are not fixed are taken as they were cut from real pictures, but for quarter turns
            where the pool has both directions; those that a border of their picture cut off lie at that border. In
            training, where resampled outlines, other sizes or a straight cut within a picture would show a
            discriminator which images are generated. Regions and anchors come before borders.

    Raises:
        PlacementError: `config.tries` tries broke a rule, or an element of fixed pose is larger than the view; the
            message names the element and the rule.
        DataError: the pool has no element, or none that can have the area that is asked for.
    """
    elements = pool.prior_elements if config.pool == "prior_only" else pool.elements
    if not elements:
        raise DataError(f"mask pool: has no element of class {pool.class_name} for masks.pool {config.pool}; add some")
    # one entry for each real mask, so a number of parts comes up as often as in real masks
    counts = pool.part_counts if like_real else range(config.min_parts, config.max_parts + 1)
    count = min(max(counts[int(rng.integers(len(counts)))], config.min_parts), config.max_parts)
    if ground.anchors is not None:
        count = max(min(count, len(ground.anchors)), config.min_parts)
    limits = area_limits(pool, config)
    if as_cut and config.pose != "fixed" and ground.anchors is None and (together := _layouts(pool, config)):
        elements, count = together, 1
    if as_cut:
        config = config.model_copy(update={"scale_min": 1.0, "scale_max": 1.0})
    manner = Manner.of(pool, config, as_cut=as_cut)
    draw = partial(choose_element, elements, count, limits, config, rng)
    # parts overlap and hang over the border, so the area is known only when all of them are placed
    for _ in range(config.tries):
        placed = Arranger(size, config, ground, rng, manner).arrange(draw, count)
        if limits is None or limits[0] <= cv2.countNonZero(placed.mask) <= limits[1]:
            return placed
    tried = placed.placements[0]
    advice = "every mask has another area; allow more scales or fewer parts"
    raise unmet(tried.element, tried.source, f"area {config.area}", advice, config)


def _layouts(pool: MaskPool, config: MaskConfig) -> tuple[Element, ...]:
    """The parts of each real picture together, as one element; those of which the config allows as many."""
    return tuple(
        one.shape
        for one in pool.layouts
        if config.min_parts <= one.count <= config.max_parts and (config.pool == "whole" or not one.shape.is_expert)
    )
