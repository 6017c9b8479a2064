"""Prints docs/spec.md from the models that check a spec: `python docs/make_spec_reference.py > docs/spec.md`."""

import json
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from anomaly_gan.config import PRESETS, TrainConfig
from jobs.kinds import KINDS
from jobs.spec.resolved import flatten

HEAD = """\
# The specs

<!-- Made by docs/make_spec_reference.py of jobs/spec/specs.py and anomaly_gan/config.py. Do not edit. -->

A job is described by a spec: a tree of keys. There are five kinds: `train`, `generate`,
`evaluate`, `study` and `tune`.
A key is written with dots, as in `train.loss.lambda_1`.

Where a value comes from, the later winning:

1. the default in the tables below;
2. the preset (`train.preset`), for train and tune;
3. the file of `--spec`, YAML or JSON in the spec's own form;
4. the environment: `AGAN_SPEC_train__loss__lambda_1=0.5`, two underscores for each dot;
5. the options of the command, and over these `--set train.loss.lambda_1=0.5`.

Then the data set fills in what only it knows: its version, `train.model.gray`, `view.size` of a whole view, and with
the preset `paper` the `train.total_images` of 1000 epochs; all but the version only where nobody set them. A mask
pool (`mask_pool`) gives its version and, where nobody set them, the rules of placement of the class (`train.masks`,
`masks`); a generate job without a pool takes those of its model.
`agan submit KIND ... --dry-run` prints every key with its value and source, and starts nothing. Each job keeps the
same list in `jobs/<id>/spec.json`.

A value of `--set` or of the environment is read as JSON where it is JSON (`0.5`, `true`, `[32, 64]`), else as text.
An unknown key, a value out of bounds, NaN or infinity is refused, all of them at once, each with its source.

Sections, equations and figures named below are those of the Anomaly-GAN paper.
"""

RULES = """\
## Rules over several keys

- `view.size` is a power of two. It is a multiple of 2 to the number of `train.model.generator_widths`, and at
  least twice that.
- A `whole` view has the size that the data set was imported at; a data set of native size takes `window` only.
- `train.batch_size` is a multiple of `resources.workers`. Where `batch` is one of the norms, each worker gets at
  least 2 pairs.
- `class_name` is a class of the data set.
- `space.lambda_1_min` is below `space.lambda_1_max`, and `space.lr_min` below `space.lr_max`.
- The class that `generated` holds is a class of `dataset`.
- `real` of an evaluation or a study is that of the models whose images are added.
- `mask_pool` was built from the very version of the data set, and has the class. Without one, `rationality` is 0.
- `masks.min_parts` is not above `masks.max_parts`, nor `masks.angle_min` above `masks.angle_max`.
"""

NOTES = {
    "resources": """\
What `workers` means: the ranks of a train job, the ranks of each trial of a tune job, the processes that make
shards in a generate job (never more than there are shards), the detectors that an evaluate or study job trains at one
time. `max_failures` of evaluate and study is for each detector.
""",
}

HEADER = ["| key | default | bounds | meaning |", "|---|---|---|---|"]


def page() -> str:
    """The whole page; every section that several specs share stands once."""
    lines = [HEAD]
    sections: dict[str, type[BaseModel]] = {}
    for name, kind in KINDS.items():
        own, nested = _split(kind.spec)
        sections |= nested
        lines += [f"## {name}", "", _first_paragraph(kind.spec), "", *HEADER]
        lines += [_row(name, field) for name, field in own.items() if name != "kind"]
        lines += ["", f"Sections: {', '.join(f'[`{name}`](#{name})' for name in nested)}.", ""]
    for name, model in sections.items():
        lines += _section(name, model, "##")
    return "\n".join([*lines, *_presets(), RULES.rstrip()]) + "\n"


def _section(prefix: str, model: type[BaseModel], level: str) -> list[str]:
    own, nested = _split(model)
    title = prefix if level == "##" else f"{prefix}.*"
    lines = [f"{level} {title}", "", _first_paragraph(model), "", *HEADER]
    lines += [_row(f"{prefix}.{name}", field) for name, field in own.items()]
    lines += ["", *([NOTES[prefix]] if prefix in NOTES else [])]
    for name, inner in nested.items():
        lines += _section(f"{prefix}.{name}", inner, "###")
    return lines


def _split(model: type[BaseModel]) -> tuple[dict[str, FieldInfo], dict[str, type[BaseModel]]]:
    """(knobs, sections) of a model, each in the order of declaration."""
    own: dict[str, FieldInfo] = {}
    nested: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested[name] = field.annotation
        else:
            own[name] = field
    return own, nested


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _row(key: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{_text(field.default)}`"
    return f"| `{key}` | {default} | {_bounds(field)} | {field.description} |"


def _text(value: Any) -> str:
    """A value as `--set` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _bounds(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, UnionType):  # with None, which needs no word
        kind = next(each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if kind is bool:
        return "`true` or `false`"
    if get_origin(kind) is tuple:
        return _list_bounds(field)
    if kind is str:
        return "text"
    word = "whole number" if kind is int else "number"
    return f"{word}, {limits}" if (limits := _limits(field)) else word


def _list_bounds(field: FieldInfo) -> str:
    items = get_args(field.annotation)
    if issubclass(get_origin(items[0]) or items[0], BaseModel):
        return f"list of `{{{', '.join(items[0].model_fields)}}}`"
    if items[0] is str:
        return "list of names"
    if Ellipsis not in items:
        return f"list of {len(items)} whole numbers"
    least = next(m.min_length for m in field.metadata if isinstance(m, annotated_types.MinLen))
    most = next(m.max_length for m in field.metadata if isinstance(m, annotated_types.MaxLen))
    return f"list of {least} to {most} whole numbers"


def _limits(field: FieldInfo) -> str:
    parts = []
    for bound in field.metadata:
        if isinstance(bound, annotated_types.Ge):
            parts.append(f"at least {bound.ge}")
        elif isinstance(bound, annotated_types.Gt):
            parts.append(f"above {bound.gt}")
        elif isinstance(bound, annotated_types.Le):
            parts.append(f"at most {bound.le}")
        elif isinstance(bound, annotated_types.Lt):
            parts.append(f"below {bound.lt}")
    return ", ".join(parts)


def _presets() -> list[str]:
    defaults = flatten(TrainConfig().model_dump(mode="json"))
    flat = {name: flatten(values) for name, values in PRESETS.items()}
    changed = [key for key in defaults if any(key in values for values in flat.values())]
    others = [name for name in flat if flat[name]]
    lines = [
        "## Presets",
        "",
        "`stable` is the defaults. The other presets set these keys; an empty cell is the value of `stable`.",
        "`laptop` is `stable` with networks that two CPU cores train in minutes; `paper` is the paper's form.",
        "",
        f"| key | `stable` | {' | '.join(f'`{name}`' for name in others)} |",
        "|---|---" + "|---" * len(others) + "|",
    ]
    for key in changed:
        cells = [f"`{_text(flat[name][key])}`" if key in flat[name] else "" for name in others]
        lines.append(f"| `train.{key}` | `{_text(defaults[key])}` | {' | '.join(cells)} |")
    return [*lines, ""]


if __name__ == "__main__":
    print(page(), end="")
