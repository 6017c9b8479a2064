"""The one list of job kinds: what is asked of each, and which functions complete a spec and do the work.

A function is written as "module:function" and imported only where it is called, so that this list loads neither torch
nor Ray, and every module of a job may import it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, TypeVar

from anomaly_gan.lists import find
from anomaly_gan.training.memory_estimate import MemoryEstimate
from infra.settings import Settings
from infra.storage.protocol import Storage
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import EvaluateSpec, GenerateSpec, JobSpec, StudySpec, TrainSpec, TuneSpec

Spec = TypeVar("Spec", bound=JobSpec)


class Forecast(Protocol):
    """What a job will take."""

    def figures(self) -> dict[str, Any]:
        """Plain values by name, for programs."""

    def rows(self) -> list[tuple[str, str]]:
        """(what, how much) for people."""


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    Attributes:
        spec: what is asked of it.
        complete: function (ResolvedSpec, Storage) -> ResolvedSpec that fills in what only the store knows, and checks
            every name against it.
        run: function (JobContext) -> None that does the work, on the cluster.
        next_step: the command that mostly follows, with {job_id}.
        memory: function (spec) -> MemoryEstimate of one worker; None = nothing is estimated.
        forecast: function (spec, Settings) -> Forecast, which a dry run prints; None = nothing is forecast.
    """

    spec: type[JobSpec]
    complete: str
    run: str
    next_step: str
    memory: str | None = None
    forecast: str | None = None

    def load_complete(self) -> Callable[[ResolvedSpec[Any], Storage], ResolvedSpec[Any]]:
        return _load(self.complete)

    def load_run(self) -> Callable[[Any], None]:
        return _load(self.run)

    def worker_memory(self, spec: JobSpec) -> MemoryEstimate | None:
        """What one worker takes, where this can be estimated; takes some seconds."""
        return None if self.memory is None else _load(self.memory)(spec)

    def forecast_of(self, spec: JobSpec, settings: Settings) -> Forecast | None:
        """What the job will take, where this can be forecast; takes some seconds."""
        return None if self.forecast is None else _load(self.forecast)(spec, settings)


KINDS: dict[str, Kind] = {
    "train": Kind(
        TrainSpec,
        complete="jobs.train.complete:complete",
        run="jobs.train.job:train",
        next_step="agan submit generate --model {job_id} --count 1600",
        memory="jobs.train.memory:worker_memory",
    ),
    "generate": Kind(
        GenerateSpec,
        complete="jobs.generate.complete:complete",
        run="jobs.generate.job:generate",
        next_step="agan submit evaluate --dataset NAME --generated {job_id}",
        forecast="jobs.generate.forecast:forecast",
    ),
    "evaluate": Kind(
        EvaluateSpec,
        complete="jobs.evaluate.complete:complete",
        run="jobs.evaluate.job:evaluate",
        next_step="agan results pull {job_id} -o {job_id}   # holds report.html",
    ),
    "study": Kind(
        StudySpec,
        complete="jobs.study.complete:complete",
        run="jobs.study.job:study",
        next_step="agan results pull {job_id} -o {job_id}   # holds report.html and cells.csv",
    ),
    "tune": Kind(
        TuneSpec,
        complete="jobs.tune.complete:complete",
        run="jobs.tune.job:tune",
        next_step="agan results pull {job_id} -o {job_id}   # holds best-spec.yaml for `agan submit train --spec`",
        memory="jobs.train.memory:worker_memory",
    ),
}
"""Name of a kind -> the kind; the name is the `kind` of its spec."""


def find_kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
        UsageError: there is none; lists those that there are.
    """
    return find(KINDS, name, "kind: unknown kind of job")


def parse_spec(raw: dict[str, Any]) -> JobSpec:
    """A spec from its own JSON form.

    Raises:
        UsageError: it is of an unknown kind.
        ValidationError: it is not what its kind asks for.
    """
    return find_kind(raw["kind"]).spec.model_validate(raw)


def complete(resolved: ResolvedSpec[Spec], storage: Storage) -> ResolvedSpec[Spec]:
    """Fill in what only the store knows (version, view, grey), and check every name against it.

    Raises:
        NotFoundError: a data set, model or job that is not there.
        UsageError: a class, view or batch that does not fit.
    """
    return find_kind(resolved.spec.kind).load_complete()(resolved, storage)


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded
