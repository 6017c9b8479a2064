"""`agan submit study`."""

from typing import Annotated, Any

import typer

from cli.submit.flow import submit_jobs
from cli.submit.options import DatasetOption, SubmitOptions, WindowOption, spread_options
from infra.errors import UsageError


@spread_options
def study(
    dataset: DatasetOption = None,
    arms: Annotated[
        list[str],
        typer.Option(
            "--arms",
            "--arm",
            help="What detectors learn from: none, flips, copy_paste, generated:JOB, real+generated:JOB,"
            " adaptive:JOB; with commas between them, or repeated.",
        ),
    ] = [],  # noqa: B006  (Typer reads the default, never changes it)
    learners: Annotated[
        list[str],
        typer.Option(
            "--learners",
            "--learner",
            help="Detectors to train, with commas between them, or repeated.",
            show_default="segmenter",
        ),
    ] = [],  # noqa: B006
    learner_sets: Annotated[
        list[str],
        typer.Option("--learner-set", help="KEY=VALUE of every detector, such as turns=false; repeatable."),
    ] = [],  # noqa: B006
    detector_steps: Annotated[
        str | None,
        typer.Option(
            "--detector-steps",
            help="Optimiser steps of every detector; several, such as 100,200,400, show whether more would help.",
            show_default="its own",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Cells for each arm and detector.")] = None,
    class_name: Annotated[
        list[str],
        typer.Option("--class", "--classes", help="Only this class; repeatable.", show_default="all"),
    ] = [],  # noqa: B006
    real: Annotated[
        int | None,
        typer.Option(
            "--real", help="Every arm knows N anomalous pictures of each class.", show_default="as the models do"
        ),
    ] = None,
    window: WindowOption = None,
    *,
    options: SubmitOptions,
) -> None:
    """Compare arms by detectors: arms x learners x seeds, on all classes; what was trained before is not trained again.

    agan submit study --dataset tiles --arms none,copy_paste,real+generated:JOB --learners segmenter,mask_rcnn
    """
    from anomaly_gan.evaluation.arms import split_arms

    flags = {
        "dataset": dataset,
        "arms": [arm for text in arms for arm in split_arms(text)] or None,
        "learners": _learners(learners, learner_sets, detector_steps),
        "seeds": seeds,
        "classes": class_name or None,
        "real": real,
        "view.kind": None if window is None else "window",
        "view.size": window,
    }
    submit_jobs("study", [flags], options)


def _learners(names: list[str], sets: list[str], steps: str | None) -> list[dict[str, Any]] | None:
    """A section for each detector, with what is the same for all; None = nothing was asked for."""
    from jobs.spec.resolve import as_value, parse_sets

    given = {key: as_value(text) for key, text in parse_sets(sets, "--learner-set").items()}
    if "name" in given:
        raise UsageError("--learner-set: name is what --learners says; leave it out")
    schedules: list[dict[str, Any]] = [{}] if steps is None else [{"steps": number} for number in _numbers(steps)]
    chosen = [name for text in names for name in text.split(",")]
    if not (chosen or given or steps):
        return None
    return [{"name": name, **given, **schedule} for name in chosen or ["segmenter"] for schedule in schedules]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as err:
        raise UsageError(
            f"--detector-steps: expected whole numbers with commas between them, such as 100,200,400, got {text!r}"
        ) from err
