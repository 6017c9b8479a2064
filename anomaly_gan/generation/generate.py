"""Plan + generator -> synthetic samples with exact masks, kept or planned anew by the gate."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.exemplars.assembling import lay_texture
from anomaly_gan.generation.gate import Verdict
from anomaly_gan.generation.light import relight
from anomaly_gan.generation.paste import into_frame, paste
from anomaly_gan.generation.plan import GenerationPlan, PlannedImage
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.masks.pool.severity import contrast, gain_for
from anomaly_gan.metrics.mask_change import MaskChange, measure
from anomaly_gan.networks.generator import Generator
from anomaly_gan.networks.noise import draw_noise
from anomaly_gan.samples.provenance import anomalies, joined, noted
from anomaly_gan.samples.sample import Sample, from_planes, to_planes
from anomaly_gan.samples.tensors import to_model_range, to_uint8

KEY_DIGITS = 8
NOISE_STREAM = 8
"""Number of this use of chance beside the job's seed; each use has its own, so that none repeats another."""


@dataclass(frozen=True)
class Generated:
    """One synthetic sample with what it was made from.

    Attributes:
        sample: the finished picture, its mask, and in `meta` its provenance and measures; with what was there before.
        normal: [H, W] or [H, W, 3] uint8, the view that it began with.
        raw: of the same shape, what the generator returned before pasting.
        pasted: of the same shape, after pasting; still without another light.
        mask: [H, W] uint8 {0, 1}, in the view.
        change: measures of the view.
        verdict: None where there is no gate.
    """

    sample: Sample
    normal: NDArray[np.uint8]
    raw: NDArray[np.uint8]
    pasted: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    change: MaskChange
    verdict: Verdict | None

    @property
    def is_kept(self) -> bool:
        return self.verdict is None or not self.verdict.failed


def generate(
    plan: GenerationPlan,
    indices: Sequence[int],
    generator: Generator,
    onto: Sequence[Generated] | None = None,
    turn: AbstractContextManager[Any] | None = None,
) -> list[Generated]:
    """Make the images of these indices; one forward pass for each try.

    With a gate, an image that is not kept is planned anew, `quality.tries` times at most, and of `quality.best_of` kept
    ones that which is most like real anomalies is taken. Where none is kept, that which breaks the fewest limits is
    there, and its meta says that it is not kept.

    Args:
        onto: what other plans made of these indices, whole pictures, to be added to; None = begin with normal ones.
        turn: held during forward passes alone, where several threads share the generator.
    """
    turn = turn or nullcontext()
    begun = dict(zip(indices, (made.sample for made in onto), strict=True)) if onto is not None else {}
    quality = plan.config.quality
    tries: dict[int, list[Generated]] = {index: [] for index in indices}
    for attempt in range(quality.tries if plan.gate else 1):
        # only those that lack kept tries go through the generator again
        wanting = [index for index, made in tries.items() if sum(one.is_kept for one in made) < quality.best_of]
        if not wanting:
            break
        planned = [plan.planned(index, attempt, begun.get(index)) for index in wanting]
        for index, made in zip(wanting, _make(plan, planned, generator, turn), strict=True):
            tries[index].append(made)
    return [_chosen(tries[index]) for index in indices]


def generate_again(
    plan: GenerationPlan,
    indices: Sequence[int],
    generator: Generator,
    judged: Sequence[Mapping[str, Any]],
    onto: Sequence[Generated] | None = None,
    turn: AbstractContextManager[Any] | None = None,
) -> list[Generated]:
    """Make images of before once more, of the tries that were chosen then, whatever the gate would say of them now.

    Args:
        judged: of each index, what its record says as `quality`.
        onto, turn: see `generate`.
    """
    turn = turn or nullcontext()
    begun = dict(zip(indices, (made.sample for made in onto), strict=True)) if onto is not None else {}
    plan, told = replace(plan, gate=None), dict(zip(indices, judged, strict=True))
    chosen: dict[int, Generated] = {}
    for attempt in range(max(len(one["tries"]) for one in judged)):
        # with the same neighbours in its pass as then, on which the last bits of an image can depend
        wanting = [index for index, one in told.items() if len(one["tries"]) > attempt]
        planned = [plan.planned(index, attempt, begun.get(index)) for index in wanting]
        for index, made in zip(wanting, _make(plan, planned, generator, turn), strict=True):
            if told[index]["attempt"] == attempt:
                chosen[index] = replace(made, sample=noted(made.sample, {"quality": told[index]}))
    return [chosen[index] for index in indices]


def _chosen(tries: Sequence[Generated]) -> Generated:
    """The best try, with what became of the others; of equally good ones the first."""

    def badness(made: Generated) -> tuple[int, float]:
        return (len(made.verdict.failed), made.verdict.excess) if made.verdict else (0, 0.0)

    best = min(tries, key=badness)
    if best.verdict is None:
        return best
    quality = {
        "kept": best.is_kept,
        "failed": best.verdict.failed,
        "attempt": anomalies(best.sample.meta)[-1]["attempt"],
        "unplaced": sum(anomalies(made.sample.meta)[-1]["unplaced"] for made in tries),
        "tries": [made.verdict.failed for made in tries if made.verdict is not None],
        "realism": best.verdict.measures,
        "unlikeness": best.verdict.unlikeness,
        "nearest_ratio": best.verdict.nearest_ratio,
        "nearest_key": best.verdict.nearest_key,
    }
    return replace(best, sample=noted(best.sample, {"quality": quality}))


def _make(
    plan: GenerationPlan, planned: Sequence[PlannedImage], generator: Generator, turn: AbstractContextManager[Any]
) -> list[Generated]:
    views, masks = [one.mask.view.image for one in planned], [one.mask.mask for one in planned]
    seeds = [seed_of_drawing(plan.config.seed, one.index, plan.layer, one.attempt) for one in planned]
    drawn = draw(generator, views, masks, seeds, turn)
    return [_finished(plan, *each) for each in zip(planned, drawn, strict=True)]


def seed_of_drawing(seed: int, index: int, layer: int = 0, attempt: int = 0) -> tuple[int, ...]:
    """What decides the noise and the texture of one image of a job."""
    return seed, NOISE_STREAM, layer, index, attempt


@dataclass(frozen=True)
class Drawing:
    """What a generator made of a view, before pasting.

    Attributes:
        image: of the view's shape.
        seed: of its noise, and of the choice and the pieces of its exemplar; None where nothing is left to chance.
        exemplar: key of the picture whose anomaly it has the texture of; None = of none.
    """

    image: NDArray[np.uint8]
    seed: tuple[int, ...] | None
    exemplar: str | None


def draw(
    generator: Generator,
    views: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.uint8]],
    seeds: Sequence[tuple[int, ...]],
    turn: AbstractContextManager[Any],
) -> list[Drawing]:
    """What the generator makes of these views in one forward pass.

    Args:
        views: [H, W] or [H, W, 3] uint8 each, of one size that the generator takes.
        masks: [H, W] uint8 {0, 1} each.
        seeds: decide all that is left to chance, on the CPU, so that another machine draws the same.
        turn: held during the forward pass.
    """
    device = next(generator.parameters()).device
    images = torch.from_numpy(np.stack([to_planes(view) for view in views])).to(device)  # [N, 3, H, W] uint8
    where = torch.from_numpy(np.stack(masks)[:, None]).to(device)  # [N, 1, H, W] {0, 1}
    noise = torch.stack([draw_noise(seed, generator.noise_planes, len(masks[0])) for seed in seeds]).to(device)
    laid = [
        lay_texture(view, mask, generator.exemplars, seed) for view, mask, seed in zip(views, masks, seeds, strict=True)
    ]
    texture = torch.from_numpy(np.stack([one.planes for one in laid])).to(device)  # [N, 1 or 3, H, W]
    with turn, torch.inference_mode():
        drawn = generator(to_model_range(images), where.float(), noise, texture)
        planes = to_uint8(drawn).cpu().numpy()
    by_chance = generator.noise_planes > 0 or generator.texture_planes > 0
    return [
        Drawing(from_planes(each, gray=view.ndim == 2), seed if by_chance else None, one.source)
        for each, view, seed, one in zip(planes, views, seeds, laid, strict=True)
    ]


def _finished(plan: GenerationPlan, planned: PlannedImage, drawn: Drawing) -> Generated:
    view, mask, raw = planned.mask.view, planned.mask.mask, drawn.image
    # beyond the feather every pixel is the normal picture's, whatever the generator did there
    gain, pasted = 1.0, paste(view.image, raw, mask, plan.config.feather_px)
    if planned.contrast is not None:
        gain = gain_for(view.image, pasted, mask, planned.contrast)
        pasted = paste(view.image, raw, mask, plan.config.feather_px, gain)
    # measured in the view, where the generator worked; delivered as the view or within its whole picture
    change = measure(view.image, raw, pasted, mask, plan.config.feather_px)
    image, its_mask = _delivered(plan, planned, pasted)
    meta = {
        "index": planned.index,
        "attempt": planned.attempt,
        "unplaced": planned.unplaced,
        "seed": plan.config.seed,
        **({} if drawn.seed is None else {"noise_seed": drawn.seed, "exemplar": drawn.exemplar}),
        "class": plan.pool.class_name,
        "normal": planned.normal.key,
        "group": str(planned.normal.meta.get("group", planned.normal.key)),
        "output": plan.config.output,
        "window": view.meta.get("window"),
        "mask_area_px": cv2.countNonZero(mask),
        "placements": [asdict(placement) for placement in planned.mask.placements],
        "rationality": planned.mask.rationality,
        "severity": _severity(plan.pool, image, its_mask, gain),
        "light": planned.light.to_plain() if planned.light else None,
        "measures": asdict(change),
    }
    verdict = plan.gate.judge(view.image, pasted, mask) if plan.gate else None
    masks = {plan.pool.class_name: its_mask}
    if planned.onto is None:
        sample = Sample(f"gen-{planned.index:0{KEY_DIGITS}d}", image, masks, meta=meta)
    else:
        sample = joined(planned.onto, image, masks, meta)
    return Generated(sample, view.image, raw, pasted, mask, change, verdict)


def _delivered(
    plan: GenerationPlan, planned: PlannedImage, pasted: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture and the mask that others get: the view, or the frame with the view in its place; lit."""
    image, mask = pasted, planned.mask.mask
    if plan.in_frames:
        left, top, _ = planned.mask.view.meta["window"]
        frame = (planned.onto or planned.normal).image
        image = into_frame(frame, pasted, left, top)
        mask = into_frame(np.zeros(frame.shape[:2], np.uint8), mask, left, top)
    if planned.light is not None:
        image = relight(image, planned.light)
    return image, mask


def _severity(pool: MaskPool, image: NDArray[np.uint8], mask: NDArray[np.uint8], gain: float) -> dict[str, object]:
    """The thirds of the real images that the sample falls into, and what it was measured by."""
    levels = contrast(image, mask)
    known: dict[str, object] = {"contrast_levels": levels, "gain": gain}
    if pool.severity is not None:
        known["area"] = pool.severity.third("area_px", cv2.countNonZero(mask))
        known["contrast"] = pool.severity.third("contrast", levels)
    return known
