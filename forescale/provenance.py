"""Where a result comes from: what makes a run repeatable, for reports and documents."""

import shlex
from dataclasses import dataclass
from enum import Enum

import typer

from forescale.failures import version
from scaling.policy import Policy


@dataclass(frozen=True)
class Provenance:
    """What a run was made with."""

    version: str
    """Of forescale."""
    command: str
    """The command line, empty where there was none."""
    seed: int
    policy_name: str
    policy_sha256: str
    """Of the network's weights, empty for a rule."""


def provenance(policy: Policy, command: str, seed: int) -> Provenance:
    """What is known of a run that this installation makes."""
    return Provenance(version(), command, seed, policy.name, policy.sha256)


def command_line(context: typer.Context) -> str:
    """The command with the options that were given on the command line, quoted for a shell."""
    words = context.command_path.split()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is not None and source.name == "COMMANDLINE":
            words += _as_given(option.opts[0], context.params[option.name or ""])
    return shlex.join(words)


def _as_given(flag: str, value: object) -> list[str]:
    if value is True:
        return [flag]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for each in values for word in (flag, str(each.value if isinstance(each, Enum) else each))]
