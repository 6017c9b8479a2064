"""What `--dry-run` prints: every value with its source, and what the jobs will take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.output import emit, table

if TYPE_CHECKING:
    from infra.settings import Settings
    from jobs.kinds import Kind
    from jobs.spec.resolved import ResolvedSpec
    from jobs.spec.specs import JobSpec


def print_dry_run(
    kind: "Kind", resolved: "Sequence[ResolvedSpec[JobSpec]]", settings: "Settings", as_json: bool
) -> None:
    """Print the specs of jobs of one kind with the settings that they would start with."""
    forecasts = [kind.forecast_of(one.spec, settings) for one in resolved]
    place = [
        (key, getattr(settings, key), source)
        for key, source in settings.sources.items()
        if getattr(settings, key) is not None
    ]
    parts = [table(("key", "value", "source"), [*place, *one.rows()]) for one in resolved]
    parts += [table(("forecast", ""), one.rows()) for one in forecasts if one is not None]
    data: list[dict[str, Any]] = [
        {
            "settings": settings.model_dump(exclude={"sources"}),
            "spec": one.spec.model_dump(mode="json"),
            "sources": {**settings.sources, **{key: source for key, _, source in one.rows()}},
            "forecast": None if forecast is None else forecast.figures(),
        }
        for one, forecast in zip(resolved, forecasts, strict=True)
    ]
    emit(data, "\n\n".join(parts), as_json)
