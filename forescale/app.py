"""Which commands there are."""

from typing import Annotated

import typer

from forescale.check_command import check
from forescale.common import DEBUG, HELP_NAMES, add
from forescale.crd_command import crd
from forescale.dry_run_command import dry_run
from forescale.evaluate import evaluate
from forescale.failures import BAD_INPUT
from forescale.failures import version as installed_version
from forescale.operator import operator
from forescale.train import export, train

app = typer.Typer(name="forescale", pretty_exceptions_enable=False, context_settings=HELP_NAMES, rich_markup_mode=None)
add(app, "dry-run", dry_run)
add(app, "check", check)
add(app, "crd", crd)
add(app, "operator", operator, environment="FORESCALE")
add(app, "train", train)
add(app, "export", export)
add(app, "evaluate", evaluate)


@app.callback(invoke_without_command=True)
def forescale(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: DEBUG = False,
) -> None:
    """Autoscaling that has learned to see load coming."""
    if version:
        typer.echo(f"forescale {installed_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(BAD_INPUT)
