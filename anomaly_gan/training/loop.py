"""The loop around the training step: fetch ahead, step, report; stop when a number is not finite or when asked to."""

import math
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from anomaly_gan import ranks
from anomaly_gan.config import TrainConfig
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.computing import precision_warning
from anomaly_gan.training.health import HealthWatch
from anomaly_gan.training.memory_use import MemoryUse, MemoryWatch
from anomaly_gan.training.method import Method
from infra.errors import TrainingError


@dataclass(frozen=True)
class StepReport:
    """What happened since the last report.

    Attributes:
        losses: unweighted terms, means over the steps and over all ranks; named as in the method's `terms`.
        images_per_sec: pairs shown per second over all ranks.
        data_wait: share of the time in which this rank waited for its batches, 0..1.
        warnings: sentences for a person.
        is_sample, is_checkpoint: what is due now.
        is_scheduled: the checkpoint is due at this step in every run of the config, also in one that is not stopped.
        is_stopped: the run was asked to stop and ends here, before its last step.
        memory: in the first report of a watched run what this rank took.
    """

    step: int
    total_steps: int
    nimg: int
    losses: dict[str, float]
    images_per_sec: float
    data_wait: float
    learning_rate_factor: float
    warnings: tuple[str, ...]
    is_sample: bool
    is_checkpoint: bool
    is_scheduled: bool
    is_stopped: bool
    memory: MemoryUse | None = None


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """1, then linear to 0 from `decay_start` on."""
    done, start = step / config.total_steps, config.optim.decay_start
    return 1.0 if done <= start else max((1 - done) / (1 - start), 0.0)


def run(
    method: Method,
    source: BatchSource,
    should_stop: Callable[[], bool] = lambda: False,
    memory: MemoryWatch | None = None,
) -> Iterator[StepReport]:
    """Train from `method.step` to the end, reporting whenever something is due; all ranks report the same.

    Args:
        should_stop: asked after every step; as soon as one rank's says so, all ranks report a checkpoint and end.
        memory: compares what the first steps took with the estimate, where there is one.

    Raises:
        TrainingError: the first term that is not finite, with its name, step and rank.
    """
    config, health = method.config, HealthWatch(method.watched)
    warning = precision_warning(config.compute, method.device)
    with ThreadPoolExecutor(1) as loader:
        window = _Window()
        ahead = loader.submit(source.batch, method.step)
        while method.step < config.total_steps:
            fetched = time.perf_counter()
            batch = ahead.result()
            window.waited_sec += time.perf_counter() - fetched
            if method.step + 1 < config.total_steps:
                ahead = loader.submit(source.batch, method.step + 1)
            factor = learning_rate_factor(config, method.step)
            _set_learning_rates(method, factor)
            terms = method.train_step(batch.to(method.device))
            window.terms.append(torch.stack([terms[name] for name in method.terms]))
            method.step += 1
            is_stopped = ranks.anyone(should_stop()) and method.step < config.total_steps
            if is_stopped or is_due(config, method.step):
                report = _report(method, window, health, factor, is_stopped=is_stopped)
                report = report if memory is None else replace(report, memory=memory.compare(method))
                yield _warned(report, warning)
                window, memory, warning = _Window(), None, None
            if is_stopped:
                return


def _set_learning_rates(method: Method, factor: float) -> None:
    for optimizer, rate in method.learning_rates.items():
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def is_due(config: TrainConfig, step: int) -> bool:
    """Whether a step ends in a report: to log, to draw samples, to checkpoint, or because it is the last."""
    every = (config.log_every_steps, config.sample_every_steps, config.checkpoint_every_steps)
    return any(_is_multiple(config, step, interval) for interval in every)


def _is_multiple(config: TrainConfig, step: int, interval: int) -> bool:
    return step % interval == 0 or step == config.total_steps


class _Window:
    """Terms and time since the last report. Terms stay on the device until then, so that no step waits for them."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.waited_sec = 0.0
        self.terms: list[Tensor] = []


def _report(method: Method, window: _Window, health: HealthWatch, factor: float, *, is_stopped: bool) -> StepReport:
    config, count = method.config, len(window.terms)
    first = method.step - count + 1
    everyone = ranks.gather(torch.stack(window.terms).tolist())
    _refuse_not_finite(everyone, list(method.terms), first, config.batch_size)
    means = ([fmean(term) for term in zip(*rows, strict=True)] for rows in zip(*everyone, strict=True))
    rows = [dict(zip(method.terms, values, strict=True)) for values in means]
    seconds = time.perf_counter() - window.started
    is_scheduled = _is_multiple(config, method.step, config.checkpoint_every_steps)
    return StepReport(
        method.step,
        config.total_steps,
        method.nimg,
        {name: fmean(row[name] for row in rows) for name in method.terms},
        count * config.batch_size / seconds,
        window.waited_sec / seconds,
        factor,
        tuple(warning for step, row in enumerate(rows, first) for warning in health.look(step, row)),
        is_sample=_is_multiple(config, method.step, config.sample_every_steps),
        is_checkpoint=is_stopped or is_scheduled,
        is_scheduled=is_scheduled,
        is_stopped=is_stopped,
    )


def _warned(report: StepReport, *more: str | None) -> StepReport:
    """The report with the warnings of the whole run before those of its steps."""
    of_run = (*more, report.memory.warning() if report.memory else None)
    return replace(report, warnings=(*(warning for warning in of_run if warning), *report.warnings))


def _refuse_not_finite(
    everyone: Sequence[Sequence[Sequence[float]]], names: Sequence[str], first_step: int, batch_size: int
) -> None:
    """All ranks raise the same sentence: a loss of one rank makes every rank's gradient not finite.

    Args:
        everyone: for each rank the terms of each step, in the order of `names`.
    """
    found = [
        (step, order, rank, value)
        for rank, rows in enumerate(everyone)
        for step, row in enumerate(rows, first_step)
        for order, value in enumerate(row)
        if not math.isfinite(value)
    ]
    if found:
        step, order, rank, value = min(found, key=operator.itemgetter(0, 1, 2))
        raise TrainingError(
            f"{names[order]} is {value} at step {step} (nimg={(step - 1) * batch_size}), rank {rank};"
            " lower the learning rates or choose another seed, and submit it again"
        )
