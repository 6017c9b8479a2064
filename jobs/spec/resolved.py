"""A checked spec that knows where each of its values came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from infra.errors import UsageError
from jobs.spec.specs import JobSpec

Tree = dict[str, Any]

Spec = TypeVar("Spec", bound=JobSpec, covariant=True)


@dataclass(frozen=True)
class ResolvedSpec(Generic[Spec]):
    """A checked spec and, per dotted key, where its value came from; a key without a source has its default."""

    spec: Spec
    sources: dict[str, str]

    def rows(self) -> list[tuple[str, Any, str]]:
        """(dotted key, value, source) in the order of declaration."""
        flat = flatten(self.spec.model_dump(mode="json"))
        return [(key, value, self.sources.get(key, "default")) for key, value in flat.items()]

    def changed(self, changes: Mapping[str, Any], source: str) -> "ResolvedSpec[Spec]":
        """The same with these values of one source, checked again.

        Args:
            changes: dotted key -> value.

        Raises:
            UsageError: the values break a rule of the spec.
        """
        tree = self.spec.model_dump(mode="json")
        for key, value in changes.items():
            *parents, leaf = key.split(".")
            section = tree
            for parent in parents:
                section = section[parent]
            section[leaf] = value
        try:
            spec = type(self.spec).model_validate(tree)
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"{source}: {where}: {first['msg'].removeprefix('Value error, ')}") from err
        return ResolvedSpec(spec, {**self.sources, **dict.fromkeys(changes, source)})

    def filled_in(self, defaults: Mapping[str, Any], source: str) -> "ResolvedSpec[Spec]":
        """The same with those of these values whose key has no source yet; arguments and errors as `changed`."""
        return self.changed({key: value for key, value in defaults.items() if key not in self.sources}, source)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Nested mappings as dotted keys; an empty mapping has none."""
    flat: Tree = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
