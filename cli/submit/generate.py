"""`agan submit generate`."""

from typing import Annotated, Any

import typer

from cli.submit.flow import submit_jobs
from cli.submit.options import SubmitOptions, spread_options
from infra.errors import UsageError

SEVERITY = "Severity as a third of the real images: low, medium, high or any."


@spread_options
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
    seed: Annotated[int | None, typer.Option("--seed", help="Seed that decides each image.")] = None,
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
        int | None, typer.Option("--best-of", help="Keep N tries of each image and take the best.")
    ] = None,
    *,
    options: SubmitOptions,
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
    }
    models = [*model, *_newest(class_name, dataset, options)]
    many = [_mixed(flags, models)] if mix else [flags | {"model": one} for one in models] or [flags]
    submit_jobs("generate", many, options)


def _newest(classes: list[str], dataset: str | None, options: SubmitOptions) -> list[str]:
    """Ids of the newest models of the classes that --class names."""
    if dataset is not None and not classes:
        raise UsageError("--dataset: chooses among the models of a --class; name one, or leave it out")
    from infra.storage.open import open_storage
    from jobs.library.models.store import newest_model

    return [newest_model(open_storage(options.settings()), name, dataset) for name in classes]


def _mixed(flags: dict[str, Any], models: list[str]) -> dict[str, Any]:
    if len(models) < 2:
        raise UsageError(f"--mix: takes two models or more, got {len(models)}; repeat --model or --class")
    return flags | {"model": models[0], "added": [{"model": one} for one in models[1:]]}
