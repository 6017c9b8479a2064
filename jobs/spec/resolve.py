"""Makes one checked spec of defaults, preset, file, environment and flags, with the source of each value."""

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from anomaly_gan.config import PRESETS
from infra.errors import UsageError
from infra.yaml_file import read_yaml
from jobs.spec.resolved import ResolvedSpec, Tree, flatten
from jobs.spec.specs import JobSpec

ENVIRONMENT_PREFIX = "AGAN_SPEC_"
"""Beginning of variables that set keys of a spec: AGAN_SPEC_train__loss__lambda_1=0.5 sets train.loss.lambda_1."""

EXAMPLES = {"--set": "train.loss.lambda_1=0.5", "--learner-set": "turns=false"}
"""Option that takes KEY=VALUE -> what it might be given."""

Spec = TypeVar("Spec", bound=JobSpec)


def resolve(
    spec: type[Spec],
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    sets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> ResolvedSpec[Spec]:
    """Merge all layers, the later winning: default, preset, file, environment, flag.

    Args:
        spec: what is asked of a job of this kind.
        flags: dotted key -> value of the command's own options; None = not given.
        file: YAML or JSON of the spec's own form.
        sets: dotted key -> text of `--set KEY=VALUE`.
        environ: variables whose name begins with AGAN_SPEC_.

    Raises:
        UsageError: every bad value, each in one line with its source.
    """
    kind = spec.kind_name()
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if file is not None:
        layers.append((f"file ({file.name})", flatten(_read(file, kind))))
    layers.append(("environment", _from_environment(environ)))
    given = {key: value for key, value in flags.items() if value is not None}
    layers.append(("flag", given | {key: as_value(text) for key, text in (sets or {}).items()}))
    preset = _preset(layers)
    if preset is not None and spec.has_presets:
        layers.insert(0, (f"preset {preset}", {f"train.{k}": v for k, v in flatten(PRESETS[preset]).items()}))

    tree: Tree = {}
    sources: dict[str, str] = {}
    for source, values in layers:
        for key, value in values.items():
            _put(tree, key, value, source)
            sources[key] = source
    try:
        return ResolvedSpec(spec.model_validate({**tree, "kind": kind}), sources)
    except ValidationError as err:
        raise UsageError(_explain(err, sources, spec)) from err


def parse_sets(sets: list[str], option: str = "--set") -> dict[str, str]:
    """`KEY=VALUE` texts as a mapping.

    Args:
        option: where they stand.

    Raises:
        UsageError: a text without `=`.
    """
    pairs = [text.partition("=") for text in sets]
    for text, (key, equals, _) in zip(sets, pairs, strict=True):
        if not (equals and key):
            raise UsageError(f"{option} {text}: expected KEY=VALUE, such as {option} {EXAMPLES[option]}")
    return {key: value for key, _, value in pairs}


def known_keys(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Dotted key -> description of every knob of a spec."""
    keys: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys |= known_keys(field.annotation, f"{prefix}{name}.")
        else:
            keys[f"{prefix}{name}"] = field.description or ""
    return keys


def _read(file: Path, kind: str) -> Tree:
    raw = read_yaml(file, unreadable="name a readable spec file")
    if not isinstance(raw, dict):
        raise UsageError(f"{file}: holds no mapping of keys to values; see `agan submit {kind} --dry-run --json`")
    if raw.get("kind", kind) != kind:
        raise UsageError(f"{file}: is a spec of kind {raw['kind']}, the command is {kind}")
    return raw


def _from_environment(environ: Mapping[str, str]) -> Tree:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).replace("__", "."): as_value(text)
        for name, text in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }


def _preset(layers: list[tuple[str, Mapping[str, Any]]]) -> str | None:
    named = [values["train.preset"] for _, values in layers if "train.preset" in values]
    return named[-1] if named and isinstance(named[-1], str) and named[-1] in PRESETS else None


def as_value(text: str) -> Any:
    """Numbers, booleans and lists as JSON reads them; anything else stays text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _put(tree: Tree, key: str, value: Any, source: str) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise UsageError(f"{source}: {key}: {parent} holds a value, not a section")
    tree[leaf] = value


def _explain(err: ValidationError, sources: Mapping[str, str], spec: type[JobSpec]) -> str:
    lines = []
    for error in err.errors():
        key = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        got = "" if error["type"] in ("missing", "value_error") else f", got {error['input']!r}"
        if error["type"] == "extra_forbidden":
            message, got = f"no such key{_nearest(key, known_keys(spec))}", ""
        lines.append(f"{_source(error['loc'], sources)}: {key}: {message}{got}")
    return "\n       ".join(lines)


def _nearest(key: str, known: Mapping[str, str]) -> str:
    """A hint at the key that was meant: one that ends in the same way, or else looks similar."""
    ends_alike = [name for name in known if name.split(".")[-1] == key.split(".")[-1]]
    close = ends_alike or difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known keys begin with {', '.join(_sections(known))}"


def _sections(known: Mapping[str, str]) -> list[str]:
    return sorted({name.split(".")[0] for name in known})


def _source(place: tuple[int | str, ...], sources: Mapping[str, str]) -> str:
    """Where a value came from, the value that it is a part of, or the parts of a section."""
    dotted = [".".join(str(part) for part in place[:end]) for end in range(len(place), 0, -1)]
    whole = (sources[key] for key in dotted if key in sources)
    parts = dict.fromkeys(source for key, source in sources.items() if dotted and key.startswith(f"{dotted[0]}."))
    return next(whole, ", ".join(parts) or "spec")
