"""`agan masks`: build, score, show and preview mask pools."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, note, progress, table, write_file
from infra.errors import UsageError

if TYPE_CHECKING:
    from anomaly_gan.masks.pool.index import MaskPoolIndex

app = typer.Typer(no_args_is_help=True)

PoolArgument = Annotated[str, typer.Argument(help="NAME, or NAME@VERSION for one that is not the latest.")]
SheetOption = Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")]


@app.command()
def build(
    dataset: Annotated[str, typer.Option("--dataset", help="NAME or NAME@VERSION; its training split is cut.")],
    name: Annotated[str, typer.Option("--name", help="Name of the pool in the store.")],
    expert: Annotated[
        list[str],
        typer.Option("--expert", help="Folder of drawn masks: labelme, COCO, CSV boxes, CLASS/*.png; repeatable."),
    ] = [],  # noqa: B006
    allowed: Annotated[
        str | None, typer.Option("--allowed", help="White = allowed: a picture, or a folder of one per picture.")
    ] = None,
    forbidden: Annotated[
        str | None, typer.Option("--forbidden", help="White = forbidden: a picture, or a folder of one per picture.")
    ] = None,
    anchors: Annotated[
        str | None,
        typer.Option("--anchors", help="CSV, or folder of annotations: boxes in which fixed elements stand."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="YAML: class -> keys of train.masks, such as pose: fixed.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random placements to learn from.")] = 0,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cut a data set's masks into elements, add those that experts drew, and learn where real ones lie.

    agan masks build --dataset tiles --name tiles --expert ./drawn
    """
    from infra.storage.open import open_storage
    from jobs.library.maskpools.build import PoolSources, build_mask_pool

    settings = settings_from(store)
    sources = PoolSources(dataset, expert, allowed, forbidden, anchors, rules, seed)
    with progress(f"building {name}") as update:
        result = build_mask_pool(open_storage(settings), name, sources, settings, update)
    for warning in result.warnings:
        note(f"warning: {warning}")
    index = result.index
    window = "" if index.resolution else " --window 128"
    previews = [
        f"agan masks preview {index.name} --dataset {index.dataset} --class {one}{window} -o {one}.png"
        for one in index.classes
    ]
    lines = [
        f"{_label(index)} {'was already there' if result.already_there else 'built'} from {index.dataset}",
        _classes(index),
        "next: " + "\n      ".join(previews),
    ]
    data = _summary(index) | {"already_there": result.already_there, "warnings": result.warnings}
    emit(data, "\n".join(lines), as_json)


@app.command()
def template(
    pool: PoolArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the sheet on which experts rate the drawn masks, one HTML page to send them.

    agan masks template tiles -o ratings.html
    """
    from infra.storage.open import open_storage
    from jobs.library.maskpools.sheets import draw_rating_sheet
    from jobs.library.maskpools.store import load_pool_index

    storage = open_storage(settings_from(store))
    index = load_pool_index(storage, pool)
    page, masks = draw_rating_sheet(storage, index)
    write_file(output, page.encode())
    following = f"next: send it to the experts, then agan masks score {index.name} --ratings THEIR.csv"
    emit({"name": index.name, "masks": masks, "file": str(output)}, f"{output}: {masks} masks\n{following}", as_json)


@app.command()
def score(
    pool: PoolArgument,
    ratings: Annotated[list[Path], typer.Option("--ratings", help="CSV: mask,expert,score; repeatable.")],
    experts: Annotated[
        Path | None,
        typer.Option("--experts", help="CSV: expert,weight,senior.", show_default="all weigh 1 and are senior"),
    ] = None,
    top: Annotated[float, typer.Option("--top", help="Share of a class's drawn masks that can be admitted.")] = 0.1,
    approval: Annotated[
        float, typer.Option("--approval", help="Least rating with which a senior expert approves.")
    ] = 0.5,
    min_ratings: Annotated[
        int | None,
        typer.Option("--min-ratings", help="Fewest ratings that a mask must have.", show_default="half the experts"),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Admit the drawn masks that experts rate best, by fuzzy scores; the others are not used.

    agan masks score tiles --ratings mei.csv --ratings jan.csv --experts experts.csv
    """
    from anomaly_gan.masks.rating.ratings import read_experts, read_ratings
    from anomaly_gan.masks.rating.scoring import warnings_of
    from infra.storage.open import open_storage
    from jobs.library.maskpools.score import score_pool

    found = [rating for path in ratings for rating in read_ratings(_text(path), path.name)]
    panel = None if experts is None else read_experts(_text(experts), experts.name)
    storage = open_storage(settings_from(store))
    index = score_pool(storage, pool, found, panel, top=top, approval=approval, min_ratings=min_ratings)
    scoring = index.scoring
    assert scoring is not None
    warnings = warnings_of(scoring)
    for warning in warnings:
        note(f"warning: {warning}")
    rows = [
        (one.mask, one.class_name, _number(one.score), _number(one.agreement), one.ratings, one.reason)
        for one in scoring.masks
    ]
    text = table(("MASK", "CLASS", "SCORE", "AGREEMENT", "RATINGS", "DECISION"), rows)
    admitted = f"{_label(index)}: {sum(one.admitted for one in scoring.masks)} of {len(rows)} drawn masks admitted"
    concordance = f"concordance of {len(scoring.experts)} experts (Kendall's W): {_number(scoring.concordance)}"
    data = _summary(index) | {"scoring": scoring.model_dump(), "warnings": warnings}
    emit(data, "\n".join([text, admitted, concordance]), as_json)


@app.command()
def show(
    pool: PoolArgument,
    output: SheetOption,
    per_class: Annotated[
        int, typer.Option("--per-class", min=1, help="Most cut elements of a class, and most drawn ones.")
    ] = 16,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a pool's elements by class, the drawn ones with their ids; those that experts did not admit are grey.

    agan masks show tiles -o elements.png
    """
    from anomaly_gan.samples.sample import encode_png
    from infra.storage.open import open_storage
    from jobs.library.maskpools.sheets import ORIGINS, draw_elements
    from jobs.library.maskpools.store import load_pool_index

    storage = open_storage(settings_from(store))
    index = load_pool_index(storage, pool)
    write_file(output, encode_png(draw_elements(storage, index, per_class=per_class)))
    counts = [(name, origin, len(index.select(name, origin))) for name in index.classes for origin in ORIGINS]
    drawn = [f"{name}: {per_class} of {count} {origin} drawn" for name, origin, count in counts if count > per_class]
    text = "\n".join([f"{_label(index)}: {output}", *drawn, _classes(index)])
    emit(_summary(index) | {"file": str(output)}, text, as_json)


@app.command()
def preview(
    pool: PoolArgument,
    dataset: Annotated[str, typer.Option("--dataset", help="NAME or NAME@VERSION, whose normal pictures are shown.")],
    output: SheetOption,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Anomaly class.", show_default="the first of the pool")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=240, help="Masks to draw.")] = 24,
    window: Annotated[int | None, typer.Option("--window", help="Cut windows N pixels wide, at native scale.")] = None,
    rationality: Annotated[
        float | None,
        typer.Option(
            "--rationality",
            min=0,
            max=1,
            help="0..1: how likely places must be; 0 = anywhere.",
            show_default="the pool's rule",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other masks.")] = 0,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw where masks would go, outlined on real normal pictures.

    agan masks preview tiles --dataset tiles --class crack --window 128 -o preview.png
    """
    from anomaly_gan.samples.sample import encode_png
    from infra.storage.open import open_storage
    from jobs.library.maskpools.sheets import PreviewPlan, draw_preview
    from jobs.library.maskpools.store import load_pool_index, rules_of, view_of

    storage = open_storage(settings_from(store))
    index = load_pool_index(storage, pool)
    name = class_name or next(iter(index.classes))
    changes = {} if rationality is None else {"rationality": rationality}
    masks = rules_of(index, name).model_copy(update=changes)
    plan = PreviewPlan(dataset, name, view_of(index, window), masks, count, seed)
    write_file(output, encode_png(draw_preview(storage, index, plan)))
    data = {"name": index.name, "version": index.version, "class": name, "count": count, "file": str(output)}
    emit(data, f"{_label(index)}: {count} masks of class {name}: {output}", as_json)


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the mask pools of the store.

    agan masks list
    """
    from infra.storage.open import open_storage
    from jobs.library.maskpools.store import list_pools

    found = list_pools(open_storage(settings_from(store)))
    rows = [(one.name, one.version, one.dataset, len(one.elements), ", ".join(one.classes)) for one in found]
    text = table(("NAME", "VERSION", "DATASET", "ELEMENTS", "CLASSES"), rows) if rows else "no mask pools yet"
    emit([_summary(index) for index in found], text, as_json)


def _label(index: "MaskPoolIndex") -> str:
    return f"{index.name}@{index.version}"


def _classes(index: "MaskPoolIndex") -> str:
    header = ("CLASS", "PRIOR", "EXPERT", "USED", "POSE", "RATIONALITY", "AUC", "PLACEMENT AUC")
    rows = [
        (
            name,
            len(index.select(name, "prior")),
            len(index.select(name, "expert")),
            sum(entry.admitted for entry in index.select(name)),
            about.rules.pose,
            f"{about.rules.rationality:g}",
            _number(about.rationality.auc if about.rationality else None),
            _number(about.rationality.placement_auc if about.rationality else None),
        )
        for name, about in index.classes.items()
    ]
    return table(header, rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _summary(index: "MaskPoolIndex") -> dict[str, object]:
    return {
        "name": index.name,
        "version": index.version,
        "dataset": index.dataset,
        "resolution": index.resolution or "native",
        "classes": {
            name: {
                "prior": len(index.select(name, "prior")),
                "expert": len(index.select(name, "expert")),
                "used": sum(entry.admitted for entry in index.select(name)),
                "rules": about.rules.model_dump(mode="json"),
                "severity": about.severity.model_dump() if about.severity else None,
                "rationality_auc": about.rationality.auc if about.rationality else None,
                "placement_auc": about.rationality.placement_auc if about.rationality else None,
            }
            for name, about in index.classes.items()
        },
        "pictures_with_region": "all" if index.has_region else len(index.regions),
        "anchors": sum(len(entry.boxes) for entry in index.anchors),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise UsageError(f"{path}: not UTF-8 text ({err.reason}); save it as UTF-8") from err
    except OSError as err:
        raise UsageError(f"{path}: cannot be read ({err.strerror}); name a CSV file") from err
