"""Options that every command has, and the shape that all commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from scaling.errors import InputError

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True)
class Common:
    """What the user asked of the command's own talk; a command that needs it takes a parameter `common`."""

    quiet: bool = False
    """Only results and errors: no progress, no hints."""

    verbose: bool = False
    """More than is usual, on stderr."""

    debug: bool = False
    """Tracebacks and the warnings of libraries."""


QUIET = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
VERBOSE = Annotated[bool, typer.Option("--verbose", "-v", help="Print more.")]
DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure; also FORESCALE_DEBUG=1.")]


class Command(TyperCommand):
    """A command whose list options take several values from an environment variable, separated by commas."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        for option in self.params:
            if not isinstance(option, TyperOption):
                continue
            if option.multiple:
                option.__dict__["split_envvar_value"] = _at_commas  # typer would split at white space
            if option.envvar is not None:
                option.allow_from_autoenv = False  # the variable that it names, and no other


def add(
    app: typer.Typer,
    name: str,
    function: Callable[..., object],
    about: str | None = None,
    environment: str | None = None,
) -> None:
    """Add a command with the common options; with `environment` each option can be a variable of that prefix.

    `about` stands in the list of commands. Default: the first line of the docstring.
    """
    about = about or inspect.cleandoc(function.__doc__ or "").partition("\n")[0]
    settings: dict[str, Any] = {**HELP_NAMES, "auto_envvar_prefix": environment}
    app.command(name, cls=Command, context_settings=settings, short_help=about)(with_common_options(function))


def with_common_options(function: Callable[..., object]) -> Callable[..., object]:
    """The function as a command with the common options, which it gets as `common` if it has such a parameter."""
    signature = inspect.signature(function, eval_str=True)
    takes_common = "common" in signature.parameters

    @functools.wraps(function)
    def command(quiet: bool, verbose: bool, debug: bool, **given: object) -> object:
        if quiet and verbose:
            raise InputError("--quiet and --verbose: give one of them")
        _quieten_libraries(debug)
        return function(**given, **({"common": Common(quiet, verbose, debug)} if takes_common else {}))

    own = [parameter for name, parameter in signature.parameters.items() if name != "common"]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("quiet", QUIET), ("verbose", VERBOSE), ("debug", DEBUG))
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *shared]}
    return command


def _at_commas(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _quieten_libraries(debug: bool) -> None:
    """Hide what matplotlib says of its cache where there is no home folder."""
    import logging

    if not debug:
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
