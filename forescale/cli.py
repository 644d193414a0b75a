"""The command line: which commands there are, and how a run ends.

Exit codes: 0 done; 1 whoever read the output has gone; 2 input that cannot be used, told in one line on stderr;
130 interrupted.
"""

import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from forescale.dry_run_command import dry_run
from forescale.evaluate import evaluate
from forescale.operator import operator
from forescale.train import export, train
from scaling.errors import InputError

READER_GONE, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(name="forescale", add_completion=False, pretty_exceptions_enable=False)
app.command("dry-run")(dry_run)
app.command("operator")(operator)
app.command("train")(train)
app.command("export")(export)
app.command("evaluate")(evaluate)


def main() -> None:
    """Run the command line and exit; the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(args=list(arguments), prog_name="forescale", standalone_mode=False)
        sys.stdout.flush()
    except (InputError, typer.TyperException) as error:  # the second: an unknown command or a bad option
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        typer.echo(f"forescale: error: {' '.join(message.split())}", err=True)
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        return READER_GONE
    return code if isinstance(code, int) else 0


@app.callback(invoke_without_command=True)
def forescale(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Autoscaling that has learned to see load coming."""
    if version:
        typer.echo(f"forescale {_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(BAD_INPUT)


def _version() -> str:
    try:
        return importlib.metadata.version("forescale")
    except importlib.metadata.PackageNotFoundError:
        return "of a source tree that is not installed"
