"""`agan bench places`: where planned masks lie beside real ones; a table of docs/results.md."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, table


def places(
    mask_pool: Annotated[str, typer.Option("--mask-pool", help="NAME or NAME@VERSION.")],
    class_name: Annotated[list[str], typer.Option("--class", help="Anomaly class; repeatable.")],
    window: Annotated[int | None, typer.Option("--window", help="Cut windows N pixels wide, at native scale.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Masks of each class to plan.")] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the planned masks.")] = 0,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where planned masks lie beside real ones: at the border, how steep, and the median rationality.

    agan bench places --mask-pool tiles --class break --class crack --window 128
    """
    from infra.storage.open import open_storage
    from jobs.benchmarks.places import measure_places

    storage = open_storage(settings_from(store))
    found = {name: measure_places(storage, mask_pool, name, window, count, seed) for name in class_name}
    rows = [
        (name, kind, one.masks, *(f"{value:.2f}" for value in (one.border, one.steep, one.score)))
        for name, kinds in found.items()
        for kind, one in kinds.items()
    ]
    text = table(("CLASS", "MASKS", "COUNT", "BORDER", "STEEP", "SCORE"), rows)
    emit({name: {kind: asdict(one) for kind, one in kinds.items()} for name, kinds in found.items()}, text, as_json)
