"""`agan submit train|tune|generate|evaluate`: options in, one job (or one per class) on the cluster out."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.following import exit_by, follow_job
from cli.options import ClusterOption, FollowOption, JsonOption, StoreOption, settings_from
from cli.output import emit, note, table
from infra.errors import UsageError

if TYPE_CHECKING:
    from infra.settings import Settings
    from jobs.kinds import Forecast, Kind
    from jobs.spec.resolved import ResolvedSpec
    from jobs.spec.specs import JobSpec

app = typer.Typer(no_args_is_help=True)

SpecOption = Annotated[Path | None, typer.Option("--spec", help="YAML or JSON spec to start from.", show_default=False)]
SetOption = Annotated[
    list[str],
    typer.Option("--set", help="KEY=VALUE of the spec, such as train.loss.lambda_1=0.5; repeatable."),
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Check everything, print the resolved spec and its sources, start nothing."),
]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Processes that share the work.")]
GpusOption = Annotated[int | None, typer.Option("--gpus-per-worker", help="GPUs of each worker: 0 or 1.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="NAME or NAME@VERSION.")]
ClassOption = Annotated[
    list[str], typer.Option("--class", help="Anomaly class; repeatable, each becomes a job of its own.")
]
MaskPoolOption = Annotated[
    str | None,
    typer.Option("--mask-pool", help="NAME or NAME@VERSION.", show_default="masks of the training split"),
]
SEVERITY = "Severity as a third of the real images: low, medium, high or any."
PresetOption = Annotated[str | None, typer.Option("--preset", help="stable (default), laptop or paper.")]
WindowOption = Annotated[
    int | None, typer.Option("--window", help="See the data through windows of so many px at native scale.")
]
ImagesOption = Annotated[int | None, typer.Option("--images", help="Pairs of images to show in training.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Pairs per step over all workers.")]


@app.command()
def train(
    dataset: DatasetOption = None,
    class_name: ClassOption = [],  # noqa: B006  (Typer reads the default, never changes it)
    mask_pool: MaskPoolOption = None,
    preset: PresetOption = None,
    window: WindowOption = None,
    images: ImagesOption = None,
    batch_size: BatchOption = None,
    workers: WorkersOption = None,
    gpus: GpusOption = None,
    spec: SpecOption = None,
    sets: SetOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    follow: FollowOption = False,
    store: StoreOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the generators of one class; several classes become one job each.

    agan submit train --dataset tiles --class blowhole --window 128 --workers 2 --follow
    """
    flags = {
        "dataset": dataset,
        "mask_pool": mask_pool,
        "train.preset": preset,
        "train.total_images": images,
        "train.batch_size": batch_size,
        **_view(window),
        **_resources(workers, gpus),
    }
    many = [flags | {"class_name": name} for name in class_name] or [flags]
    _submit("train", many, spec, sets, settings_from(store, cluster), dry_run, follow, as_json)


@app.command()
def tune(
    dataset: DatasetOption = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Anomaly class.")] = None,
    mask_pool: MaskPoolOption = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Runs to try.")] = None,
    preset: PresetOption = None,
    window: WindowOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Pairs of images to show in each trial.")] = None,
    batch_size: BatchOption = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes of each trial.")] = None,
    gpus: GpusOption = None,
    spec: SpecOption = None,
    sets: SetOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    follow: FollowOption = False,
    store: StoreOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search lambda_1 and both learning rates; the best trial's spec feeds `agan submit train --spec`.

    agan submit tune --dataset tiles --class blowhole --window 128 --trials 8
    """
    flags = {
        "dataset": dataset,
        "class_name": class_name,
        "mask_pool": mask_pool,
        "trials": trials,
        "train.preset": preset,
        "train.total_images": images,
        "train.batch_size": batch_size,
        **_view(window),
        **_resources(workers, gpus),
    }
    _submit("tune", [flags], spec, sets, settings_from(store, cluster), dry_run, follow, as_json)


@app.command()
def generate(
    model: Annotated[
        list[str],
        typer.Option("--model", help="Id of a trained model (`agan models list`); repeatable, each becomes a job."),
    ] = [],  # noqa: B006
    class_name: Annotated[
        list[str],
        typer.Option("--class", "--classes", help="Take the newest model of this class; repeatable, as --model."),
    ] = [],  # noqa: B006
    dataset: Annotated[str | None, typer.Option("--dataset", help="With --class: only models trained on it.")] = None,
    count: Annotated[int | None, typer.Option("--count", "--per-class", help="Images to make with each model.")] = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Put an anomaly of each model into every image, as one job.")
    ] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="With the index, decides each image.")] = None,
    mask_pool: Annotated[
        str | None, typer.Option("--mask-pool", help="NAME or NAME@VERSION.", show_default="the model's")
    ] = None,
    rationality: Annotated[
        float | None,
        typer.Option("--rationality", help="0..1: how likely places must be; 0 = anywhere.", show_default="the pool's"),
    ] = None,
    area: Annotated[str | None, typer.Option("--area", help=SEVERITY)] = None,
    contrast: Annotated[str | None, typer.Option("--contrast", help=SEVERITY)] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="view, or frame: the full picture with a window of it changed."),
    ] = None,
    best_of: Annotated[
        int | None, typer.Option("--best-of", help="Kept tries of each image of which the best is taken.")
    ] = None,
    workers: WorkersOption = None,
    gpus: GpusOption = None,
    spec: SpecOption = None,
    sets: SetOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    follow: FollowOption = False,
    store: StoreOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make anomalous images with exact masks; several models become one job each, or with --mix one for all.

    agan submit generate --model train-20260101-120000-ab12 --count 1600
    """
    flags = {
        "count": count,
        "generation.seed": seed,
        "mask_pool": mask_pool,
        "masks.rationality": rationality,
        "masks.area": area,
        "masks.contrast": contrast,
        "generation.output": output,
        "generation.quality.best_of": best_of,
        **_resources(workers, gpus),
    }
    settings = settings_from(store, cluster)
    models = [*model, *_newest(class_name, dataset, settings)]
    many = [_mixed(flags, models)] if mix else [flags | {"model": one} for one in models] or [flags]
    _submit("generate", many, spec, sets, settings, dry_run, follow, as_json)


@app.command()
def evaluate(
    dataset: DatasetOption = None,
    generated: Annotated[str | None, typer.Option("--generated", help="Id of a generate job.")] = None,
    detector_steps: Annotated[
        int | None, typer.Option("--detector-steps", help="Optimiser steps of each detector.")
    ] = None,
    workers: WorkersOption = None,
    gpus: GpusOption = None,
    spec: SpecOption = None,
    sets: SetOption = [],  # noqa: B006
    dry_run: DryRunOption = False,
    follow: FollowOption = False,
    store: StoreOption = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure generated images, and what they do for a detector: real against real + generated.

    agan submit evaluate --dataset tiles --generated generate-20260101-130000-cd34
    """
    flags = {
        "dataset": dataset,
        "generated": generated,
        "detector.steps": detector_steps,
        **_resources(workers, gpus),
    }
    _submit("evaluate", [flags], spec, sets, settings_from(store, cluster), dry_run, follow, as_json)


def _newest(classes: list[str], dataset: str | None, settings: "Settings") -> list[str]:
    """Ids of the models that --class means."""
    if dataset is not None and not classes:
        raise UsageError("--dataset: chooses among the models of a --class; name one, or leave it out")
    from infra.storage.open import open_storage
    from jobs.library.models.store import newest_model

    return [newest_model(open_storage(settings), name, dataset) for name in classes]


def _mixed(flags: dict[str, Any], models: list[str]) -> dict[str, Any]:
    if len(models) < 2:
        raise UsageError(f"--mix: takes two models or more, got {len(models)}; repeat --model or --class")
    return flags | {"model": models[0], "added": [{"model": one} for one in models[1:]]}


def _view(window: int | None) -> dict[str, Any]:
    return {} if window is None else {"view.kind": "window", "view.size": window}


def _resources(workers: int | None, gpus: int | None) -> dict[str, Any]:
    return {"resources.workers": workers, "resources.gpus_per_worker": gpus}


def _submit(
    name: str,
    many: list[dict[str, Any]],
    file: Path | None,
    sets: list[str],
    settings: "Settings",
    dry_run: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """Check all specs, then start all jobs."""
    from infra.cluster.ray_cluster import connect
    from infra.storage.open import open_storage
    from jobs.kinds import complete, find_kind
    from jobs.operations.submit import gpu_hint, submit
    from jobs.spec.resolve import parse_sets, resolve

    if follow and len(many) > 1:
        raise UsageError("--follow: watches one job; name one --class, or use `agan jobs wait`")
    storage = open_storage(settings)
    kind = find_kind(name)
    resolved = [complete(resolve(kind.spec, flags, file=file, sets=parse_sets(sets)), storage) for flags in many]
    memory = kind.worker_memory(resolved[0].spec)
    if memory is not None:
        note(f"memory: {_gib(memory.peak)} GiB at the peak of a step, {_gib(memory.resting)} at rest, for each worker")
    if dry_run:
        forecasts = [kind.forecast_of(one.spec, settings) for one in resolved]
        _print_resolved(resolved, forecasts, settings, as_json)
        return
    if settings.cluster is None:
        note("no cluster configured: using the local head node (`agan cluster status`)")
    cluster = connect(settings)
    hint = gpu_hint(resolved[0].spec, cluster.capacity())
    if hint is not None:
        note(hint)
    ids = [submit(one, settings, cluster, memory) for one in resolved]
    if as_json or not follow:
        emit({"job_ids": ids, "store": storage.uri, "cluster": cluster.url}, _next_steps(kind, ids), as_json)
    if follow:
        note(f"submitted {ids[0]}")
        exit_by(follow_job(storage, ids[0], show_log=not as_json))


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"


def _print_resolved(
    resolved: "list[ResolvedSpec[JobSpec]]", forecasts: "list[Forecast | None]", settings: "Settings", as_json: bool
) -> None:
    place = [
        (key, getattr(settings, key), source)
        for key, source in settings.sources.items()
        if getattr(settings, key) is not None
    ]
    parts = [table(("key", "value", "source"), [*place, *one.rows()]) for one in resolved]
    parts += [table(("forecast", ""), one.rows()) for one in forecasts if one is not None]
    data: list[Mapping[str, Any]] = [
        {
            "settings": settings.model_dump(exclude={"sources"}),
            "spec": one.spec.model_dump(mode="json"),
            "sources": {**settings.sources, **{key: source for key, _, source in one.rows()}},
            "forecast": forecast.figures() if forecast else None,
        }
        for one, forecast in zip(resolved, forecasts, strict=True)
    ]
    emit(data, "\n\n".join(parts), as_json)


def _next_steps(kind: "Kind", ids: list[str]) -> str:
    first = ids[0]
    lines = [*(f"submitted {job_id}" for job_id in ids), f"watch:  agan jobs logs -f {first}"]
    return "\n".join([*lines, f"wait:   agan jobs wait {first}", f"then:   {kind.next_step.format(job_id=first)}"])
