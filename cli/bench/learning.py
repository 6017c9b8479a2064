"""`agan bench learning`: train in this process and measure what was learnt; the tables of docs/results.md."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import JsonOption, StoreOption, settings_from, train_flags
from cli.output import emit, note, progress, table

if TYPE_CHECKING:
    from anomaly_gan.studies.learning import Study

GRID_ROWS = 8
MEASURES = ("mask_hit", "in_mask_change", "background_mae_raw", "background_slope", "grid_excess")


def learning(
    dataset: Annotated[str, typer.Option("--dataset", help="NAME or NAME@VERSION.")],
    class_name: Annotated[list[str], typer.Option("--class", help="Anomaly class; repeatable.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for learning.json and a grid of each class.")],
    preset: Annotated[str, typer.Option("--preset", help="stable, laptop or paper.")] = "laptop",
    window: Annotated[int | None, typer.Option("--window", help="Cut windows N pixels wide, at native scale.")] = None,
    images: Annotated[int | None, typer.Option("--images", help="Pairs of images to show in training.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Pairs per step.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each class, with seeds 0, 1, ...")] = 1,
    measured: Annotated[int, typer.Option("--measured", min=2, help="Generated images that are measured.")] = 32,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 2,
    sets: Annotated[list[str], typer.Option("--set", help="KEY=VALUE of the spec; repeatable.")] = [],  # noqa: B006
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train without a cluster and measure before and after, on normal images that were held out.

    agan bench learning --dataset tiles --class blowhole --window 128 --images 1600 -o learning
    """
    import torch

    from infra.storage.open import open_storage
    from jobs.benchmarks.learning import study_class
    from jobs.spec.resolve import parse_sets

    torch.set_num_threads(threads)
    flags = train_flags(dataset=dataset, preset=preset, window=window, images=images, batch_size=batch_size)
    storage = open_storage(settings_from(store))
    rows: list[dict[str, Any]] = []
    output.mkdir(parents=True, exist_ok=True)
    for name in class_name:
        for seed in range(seeds):
            wanted = {**flags, "class_name": name, "train.seed": seed}
            with progress(f"{name}, seed {seed}") as update:
                spec, study = study_class(
                    storage, wanted, parse_sets(sets), measured, lambda report: update(report.step, report.total_steps)
                )
            _write_grid(output / f"{name}-seed{seed}.png", study)
            rows.append({"class": name, "spec": spec.model_dump(mode="json"), **_figures(study)})
            data = {"machine": _machine(threads), "rows": rows}
            (output / "learning.json").write_text(json.dumps(data, indent=1))
    emit(data, _table(rows), as_json)
    note(f"grids and learning.json are in {output}")


def _write_grid(path: Path, study: "Study") -> None:
    from anomaly_gan.samples.sample import encode_png

    path.write_bytes(encode_png(study.preview.grid(GRID_ROWS)))


def _figures(study: "Study") -> dict[str, Any]:
    return {
        "seed": study.seed,
        "steps": study.steps,
        "step_sec": round(study.step_sec, 3),
        "aware_accuracy": study.aware_accuracy,
        "crop_kid": study.crop_kid,
        "crop_spread": study.crop_spread,
        "untrained": study.untrained,
        "trained": study.trained,
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    header = ("class", "seed", "generator", *MEASURES, "crop_kid", "crop_spread")
    lines: list[Sequence[object]] = []
    for row in rows:
        for kind in ("untrained", "trained"):
            means = [_short(row[kind][name]["mean"]) for name in MEASURES]
            own = (_short(row["crop_kid"]), _short(row["crop_spread"])) if kind == "trained" else ("", "")
            lines.append((row["class"], row["seed"], kind, *means, *own))
    return table(header, lines)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _machine(threads: int) -> dict[str, Any]:
    import platform

    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": threads,
    }
