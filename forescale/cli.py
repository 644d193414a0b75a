"""The console script: runs one command and ends with its exit code, which `forescale.failures` decides.

Imports nothing of weight before it can catch Ctrl-C; which commands there are is in `forescale.app`.
"""

import sys

try:
    import os
    from collections.abc import Sequence

    from forescale.failures import BAD_INPUT, INTERRUPTED, OWN_FAULT, READER_GONE, quiet_hooks, tell
    from forescale.interrupts import catch, settle
    from forescale.streams import prepare
except KeyboardInterrupt:  # Ctrl-C at once
    sys.exit(130)

__all__ = ["BAD_INPUT", "INTERRUPTED", "OWN_FAULT", "READER_GONE", "main", "run"]


def main() -> None:
    """Run the command line and exit."""
    catch()
    debug = wants_debug(sys.argv[1:])
    prepare(debug)
    if not debug:
        quiet_hooks()
    code = run(sys.argv[1:])
    settle()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        from forescale.app import app

        code = app(args=list(arguments), prog_name="forescale", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return tell(error, arguments, wants_debug(arguments))
    return code if isinstance(code, int) else 0


def wants_debug(arguments: Sequence[str]) -> bool:
    """Whether tracebacks are asked for, by `--debug` anywhere among the options or by FORESCALE_DEBUG."""
    options = list(arguments)[: arguments.index("--")] if "--" in arguments else arguments
    return "--debug" in options or os.environ.get("FORESCALE_DEBUG", "").lower() not in ("", "0", "false", "no")
