"""The tune job: Ray Tune over lambda_1 and both learning rates, each trial a Ray Train run."""

import json
import math
import tempfile
from typing import Any, cast

import ray.tune
import yaml
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.search.optuna import OptunaSearch

from anomaly_gan.metrics.features.network import load_features
from infra.errors import TrainingError
from jobs.record.context import JobContext, context_from_plain
from jobs.record.manifest import OutputWriter
from jobs.record.progress import ProgressReporter
from jobs.spec.specs import TRIAL_DRIVER_CPUS, TrainSpec, TuneSpec
from jobs.train.job import fit
from jobs.train.publication import FEATURES, PUBLISHED_MEASURE

METRIC = PUBLISHED_MEASURE
"""What a search minimises; it needs the features of `FEATURES`."""

SEARCHED = {"lambda_1": "train.loss.lambda_1", "lr_g": "train.optim.lr_g", "lr_d": "train.optim.lr_d"}


def tune(context: JobContext[TuneSpec]) -> None:
    """Run all trials; the best one's spec becomes best-spec.yaml.

    Raises:
        NotFoundError, DataError: the network that trials are compared by is not there; no trial has begun.
    """
    load_features(FEATURES)
    spec = context.spec
    space = spec.space
    with tempfile.TemporaryDirectory() as folder:
        tuner = ray.tune.Tuner(
            ray.tune.with_resources(
                ray.tune.with_parameters(_trial, raw=context.to_plain()), {"CPU": TRIAL_DRIVER_CPUS}
            ),
            param_space={
                "lambda_1": ray.tune.loguniform(space.lambda_1_min, space.lambda_1_max),
                "lr_g": ray.tune.loguniform(space.lr_min, space.lr_max),
                "lr_d": ray.tune.loguniform(space.lr_min, space.lr_max),
            },
            tune_config=ray.tune.TuneConfig(
                metric=METRIC,
                mode="min",
                num_samples=spec.trials,
                max_concurrent_trials=spec.concurrent_trials,
                search_alg=OptunaSearch(seed=spec.seed),
            ),
            run_config=ray.tune.RunConfig(
                name=context.job_id,
                storage_path=folder,
                verbose=0,
                callbacks=[_TrialCounter(context.to_plain(), spec.trials)],
            ),
        )
        grid = tuner.fit()
        trials = [_row(result) for result in (grid[number] for number in range(len(grid)))]
    _finish(context, spec, trials)


def trial_spec(spec: TuneSpec, values: dict[str, float]) -> TrainSpec:
    """The train spec of a trial: the tune job's, with the searched values set."""
    optim = spec.train.optim.model_copy(update={"lr_g": values["lr_g"], "lr_d": values["lr_d"]})
    loss = spec.train.loss.model_copy(update={"lambda_1": values["lambda_1"]})
    return TrainSpec(
        dataset=spec.dataset,
        class_name=spec.class_name,
        mask_pool=spec.mask_pool,
        real=spec.real,
        view=spec.view,
        train=spec.train.model_copy(update={"optim": optim, "loss": loss}),
        resources=spec.resources,
    )


def _trial(values: dict[str, float], raw: dict[str, Any]) -> None:
    """One trial, a Train run of its own below the job's folder."""
    context = context_from_plain(raw, TuneSpec)
    trial = f"{context.job_id}/trials/{ray.tune.get_context().get_trial_id()}"
    spec = trial_spec(context.spec, values)
    plain = {**raw, "job_id": trial, "spec": spec.model_dump(mode="json")}
    report_to_tune = TuneReportCallback()  # type: ignore[no-untyped-call]
    fit(plain, spec.resources, trial.replace("/", "-"), [report_to_tune])


class _TrialCounter(ray.tune.Callback):
    """Reports how many trials have ended; holds plain values only, because Tune pickles it."""

    def __init__(self, raw: dict[str, Any], total: int) -> None:
        self._raw = raw
        self._total = total
        self._ended = 0
        self._reporter: ProgressReporter | None = None

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        self._reporter = context_from_plain(self._raw, TuneSpec).reporter()
        self._reporter.update("trials", 0, self._total, "trials")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._count()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._count()

    def _count(self) -> None:
        self._ended += 1
        assert self._reporter is not None
        self._reporter.update("trials", self._ended, self._total, "trials")
        print(f"{self._ended}/{self._total} trials ended", flush=True)


def _row(result: Any) -> dict[str, Any]:
    metrics = result.metrics or {}
    return {
        "values": {name: result.config[name] for name in SEARCHED},
        METRIC: metrics.get(METRIC),
        "mask_hit": metrics.get("mask_hit"),
        "step": metrics.get("step"),
        "error": str(result.error).strip().splitlines()[-1] if result.error else None,
    }


def best_trial(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The trial of the lowest finite score among those that ended well.

    Raises:
        TrainingError: there is none.
    """
    scored = [trial for trial in trials if trial["error"] is None and _is_number(trial[METRIC])]
    if not scored:
        raise TrainingError(f"tune: none of {len(trials)} trials gave a score (first: {trials[0]['error']})")
    return min(scored, key=lambda trial: cast(float, trial[METRIC]))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _finish(context: JobContext[TuneSpec], spec: TuneSpec, trials: list[dict[str, Any]]) -> None:
    best = best_trial(trials)
    outputs = OutputWriter(context.storage, context.job_id)
    chosen = trial_spec(spec, best["values"]).model_dump(mode="json")
    outputs.write("best-spec.yaml", yaml.safe_dump(chosen, sort_keys=False).encode())
    summary = {"metric": METRIC, "mode": "min", "best": best, "trials": trials}
    outputs.write("trials.json", json.dumps(summary, indent=1).encode())
    outputs.commit()
