from dataclasses import dataclass, field
from inspect import signature
from typing import Annotated

import typer
from typer.testing import CliRunner

from cli.submit.options import spread_options


@dataclass(frozen=True)
class Shared:
    often: Annotated[int, typer.Option("--often", help="How often.")] = 1
    words: Annotated[list[str], typer.Option("--word", help="Repeatable.")] = field(default_factory=list)


@dataclass(frozen=True)
class Overriding(Shared):
    often: Annotated[int, typer.Option("--often", help="How often in each.")] = 2


def called(kind: type[Shared], args: list[str]) -> tuple[str, Shared]:
    """(the command's own option, the shared ones) that a command gets."""
    seen = []

    def command(name: Annotated[str, typer.Option("--name", help="A name.")] = "a", *, shared: Shared) -> None:
        seen.append((name, shared))

    command.__annotations__["shared"] = kind
    app = typer.Typer()
    app.command()(spread_options(command))
    assert CliRunner().invoke(app, args).exit_code == 0
    return seen[0]


def test_shared_options_reach_a_command_as_one_object_after_its_own() -> None:
    assert called(Shared, []) == ("a", Shared())
    args = ["--word", "x", "--name", "b", "--often", "3", "--word", "y"]
    assert called(Shared, args) == ("b", Shared(3, ["x", "y"]))


def test_an_overridden_option_keeps_its_place() -> None:
    def command(*, shared: Overriding) -> None: ...

    often, words = signature(spread_options(command)).parameters.values()
    assert (often.name, often.default, words.name, words.default) == ("often", 2, "words", [])
    assert often.annotation.__metadata__[0].help == "How often in each."
    assert called(Overriding, []) == ("a", Overriding())
