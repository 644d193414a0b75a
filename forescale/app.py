"""Which commands there are."""

from typing import Annotated

import typer

from forescale.check_command import check
from forescale.common import DEBUG, HELP_NAMES, add
from forescale.crd_command import crd
from forescale.dry_run_command import dry_run
from forescale.evaluate import evaluate
from forescale.export_command import export
from forescale.failures import BAD_INPUT
from forescale.failures import version as installed_version
from forescale.operator import operator
from forescale.serve_command import serve
from forescale.trace_command import trace
from forescale.train import train
from forescale.tune_command import tune

app = typer.Typer(name="forescale", pretty_exceptions_enable=False, context_settings=HELP_NAMES, rich_markup_mode=None)
add(app, "dry-run", dry_run, "Run policies against a simulated cluster, beside an HPA.")
add(app, "check", check, "Check policies without a cluster.")
add(app, "crd", crd, "Print the CustomResourceDefinition.")
add(app, "operator", operator, "Serve the policies of a cluster until stopped.", environment="FORESCALE")
add(app, "serve", serve, "Serve recommendations over HTTP, and a page.", environment="FORESCALE_API")
add(app, "trace", trace, "Pull a policy's own load out of Prometheus into a trace.")
add(app, "train", train, "Train a policy in the simulated fleet.")
add(app, "export", export, "Write a trained policy as the controller reads it.")
add(app, "tune", tune, "Search for better training settings.")
add(app, "evaluate", evaluate, "Compare a policy with its rivals over many traces.")


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
