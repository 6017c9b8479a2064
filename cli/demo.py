"""`agan demo`: the whole suite on rendered images, in a few minutes, ending in a report."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.output import emit, note, progress

DEMO_CLASS = "paper_scrap"
TRAIN_IMAGES = 640
GENERATED = 32
DETECTOR_STEPS = 150


def demo(
    folder: Annotated[Path, typer.Argument(help="New or empty folder for all that the demo makes.")] = Path(
        "agan-demo"
    ),
    keep_cluster: Annotated[bool, typer.Option("--keep-cluster", help="Leave the local head node running.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render a small data set, import it, train, generate, evaluate; print the path of one HTML report.

    Needs no account, no credential, no S3 and no GPU; about 5 minutes on 2 cores.
    """
    from jobs.demo import DemoPlan, Stage, run_demo

    plan = DemoPlan(folder.resolve(), DEMO_CLASS, TRAIN_IMAGES, GENERATED, DETECTOR_STEPS)
    with progress("demo") as update:

        def show(stage: Stage) -> None:
            if stage.headline:
                note(f"[{stage.number}/{stage.of}] {stage.headline}")
            else:
                update(stage.done, stage.total, stage.what)

        report = run_demo(plan, keep_cluster=keep_cluster, on_progress=show)
    emit({"report": str(report)}, f"report: {report}", as_json)
