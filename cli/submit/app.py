"""`agan submit KIND`: a command for each kind of job; a kind without a command of its own gets a plain one."""

from typing import Any

import typer
from typer.core import TyperGroup

from cli.submit.evaluate import evaluate
from cli.submit.flow import submit_jobs
from cli.submit.generate import generate
from cli.submit.options import SubmitOptions, spread_options
from cli.submit.study import study
from cli.submit.train import train
from cli.submit.tune import tune


class KindGroup(TyperGroup):
    """The commands below, and a plain one for each further kind of `jobs.kinds`, which `agan --help` does not load."""

    def list_commands(self, ctx: Any) -> list[str]:
        from jobs.kinds import KINDS

        own = super().list_commands(ctx)
        return [*own, *(name for name in KINDS if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from jobs.kinds import KINDS

        return _plain_command(cmd_name, KINDS[cmd_name].spec.__doc__) if cmd_name in KINDS else None


def _plain_command(kind_name: str, about: str | None) -> Any:
    """A command that takes every value of the spec by --spec and --set."""

    @spread_options
    def submit(*, options: SubmitOptions) -> None:
        submit_jobs(kind_name, [{}], options)

    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(kind_name, help=about)(submit)
    return typer.main.get_command(alone)


app = typer.Typer(cls=KindGroup, no_args_is_help=True)
for command in (train, tune, generate, evaluate, study):
    app.command()(command)
