"""What does not go together in one picture."""

from collections.abc import Sequence

from anomaly_gan.generation.snapshot import Snapshot
from infra.errors import UsageError
from jobs.spec.specs import GenerateSpec


def check_mix(spec: GenerateSpec, models: Sequence[Snapshot]) -> None:
    """Refuse further models that cannot add to the pictures of the first.

    Args:
        models: the first and the further ones, in the spec's order.

    Raises:
        UsageError: another data set or view, a class twice, or windows that are no whole pictures.
    """
    first, names = models[0], [spec.model, *(one.model for one in spec.added)]
    for name, model in zip(names[1:], models[1:], strict=True):
        for what, its, wanted in (
            ("was trained on", model.record["dataset"], first.record["dataset"]),
            ("sees", _told(model), _told(first)),
        ):
            if its != wanted:
                raise UsageError(
                    f"added: model {name} {what} {its}, the first model {what} {wanted}; mix models that agree"
                )
    classes = [model.class_name for model in models]
    twice = next((name for name in classes if classes.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"added: two models make class {twice}; for several of one class set masks.max_parts")
    if spec.added and first.view.kind == "window" and spec.generation.output != "frame":
        raise UsageError(
            "generation.output: models of windows put their anomalies anywhere in a picture; to mix them add"
            " --output frame"
        )


def _told(model: Snapshot) -> str:
    kind = "windows" if model.view.kind == "window" else "whole pictures"
    return f"{kind} of {model.view.size} px"
