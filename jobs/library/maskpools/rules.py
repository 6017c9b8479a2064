"""How the elements of each class of a pool are placed: what a user says, over what suits the class."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.pool.pool import MIN_ELEMENT_PX
from anomaly_gan.masks.rationality.rationality import Rationality
from infra.errors import UsageError
from infra.yaml_file import read_yaml
from jobs.library.maskpools.places import Places

DEFAULT_RATIONALITY = 0.8
"""Rationality for a class whose places are known: each placement is the best of five."""


def read_rules(file: Path | None, classes: Collection[str]) -> dict[str, dict[str, Any]]:
    """Class -> what a file says of its rules, each key checked."""
    if file is None:
        return {}
    raw = read_yaml(file, unreadable="name a readable YAML file", name=f"--rules {file}")
    if not isinstance(raw, dict) or not all(isinstance(keys, dict) for keys in raw.values()):
        raise UsageError(f"--rules {file}: expected classes with keys below them, such as crack: {{pose: fixed}}")
    rules = {str(class_name): keys for class_name, keys in raw.items()}
    unknown = sorted(set(rules) - set(classes))
    if unknown:
        raise UsageError(f"--rules {file}: the data set has no class {unknown[0]!r}, only {', '.join(classes)}")
    for class_name, keys in rules.items():
        try:
            MaskConfig.model_validate(keys)
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join((class_name, *map(str, first["loc"])))
            wrong = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
            if first["type"] == "extra_forbidden":
                wrong = f"no such key; there are {', '.join(MaskConfig.model_fields)}"
            elif first["type"] == "value_error":
                wrong = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"--rules {file}: {where}: {wrong}") from err
    return rules


def rules_for(class_name: str, given: Mapping[str, Any], places: Places, learnt: Rationality | None) -> MaskConfig:
    """What a file says, over what suits the class: anchored elements are fixed, and proved places are used."""
    proved = learnt is not None and learnt.auc is not None and learnt.knows_place
    suited: dict[str, Any] = {"rationality": DEFAULT_RATIONALITY if proved else 0.0}
    if _is_anchored(class_name, places):
        suited["pose"] = "fixed"
    return MaskConfig.model_validate({**suited, **given})


def _is_anchored(class_name: str, places: Places) -> bool:
    return any(anchored == class_name for _, anchored in places.anchors)


def warnings_of(class_name: str, rules: MaskConfig, places: Places, learnt: Rationality | None) -> list[str]:
    """What a user may not expect of a class, one sentence each."""
    sentences = []
    if learnt is None:
        sentences.append(
            f"it has no training mask of {MIN_ELEMENT_PX} px or more, so that nothing was learnt of its places,"
            " areas and contrasts; its drawn masks are placed by the rules alone"
        )
    elif learnt.auc is None:
        sentences.append(
            "its training pictures are one group, so that what was learnt of its places could not be checked and is not"
            " used; import more groups, or set rationality in --rules"
        )
    is_anchored = _is_anchored(class_name, places)
    if rules.pose == "fixed" and not is_anchored:
        sentences.append(
            "its pose is fixed but it has no anchors, so that its elements stand anywhere in their region; give"
            " --anchors, or set pose: natural in --rules"
        )
    if rules.pose != "fixed" and is_anchored:
        sentences.append(
            f"its anchors are not used, because --rules say pose: {rules.pose}; set pose: fixed, or leave the"
            " anchors out"
        )
    return [f"class {class_name}: {sentence}" for sentence in sentences]
