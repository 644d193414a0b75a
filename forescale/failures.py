"""The one place that turns an exception into an exit code and a line on stderr.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a fault of forescale's own, told in one line; or whoever read the output has gone, told in none |
| 2 | input, or a machine, that cannot be used: one line that names the value and the limit |
| 130 | interrupted |
"""

import errno
import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import TracebackType

from forescale.extras import EXTRA_OF, needs
from forescale.streams import abandon
from scaling.errors import InputError
from scaling.limits import shown

READER_GONE, OWN_FAULT, BAD_INPUT, INTERRUPTED = 1, 1, 2, 130

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What a write answers where the disk is the cause; libraries bury it under errors of their own."""

MOST_CHARACTERS = 2000
"""Of one line, chosen: a page of a terminal."""


def tell(error: BaseException, arguments: Sequence[str], debug: bool) -> int:
    """Print what happened, with the traceback if `debug`, and return the exit code."""
    if debug and not isinstance(error, SystemExit):
        say("".join(traceback.format_exception(error)).rstrip())
    code, line = outcome(error, arguments)
    if code != 0:
        _drop_unwritten()
    if line and line not in _told_by_threads:
        say(f"forescale: {line}")
    return code


def outcome(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code of an exception, and its line without the leading `forescale: `; no line for what needs none."""
    causes = list(_chain(error))
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else OWN_FAULT if error.code else 0, ""
    if _is_interrupt(causes):
        return INTERRUPTED, ""
    if isinstance(error, BrokenPipeError):
        return READER_GONE, ""
    problem = next((said for cause in causes if (said := _bad_input(cause, arguments))), None)
    if problem is None:
        fault = next((cause for cause in causes if type(cause).__name__ != "Abort"), error)
        return OWN_FAULT, f"internal error: {_one_line(f'{type(fault).__name__}: {fault}')}; {_how_to_report()}"
    return BAD_INPUT, f"error: {_one_line(problem)}"


def say(text: str) -> None:
    """Print to stderr, which may be closed or full."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        abandon(sys.stderr)


def quiet_hooks() -> None:
    """Tell a failure outside of the command's own thread in one line as well; for use without `--debug`."""
    import threading

    threading.excepthook = lambda arguments: _tell_of_thread(arguments.exc_value)
    sys.unraisablehook = lambda unraisable: _tell_unraisable(unraisable.exc_value)
    sys.excepthook = _excepthook


def _is_interrupt(causes: Sequence[BaseException]) -> bool:
    """Whether it was Ctrl-C. Typer also makes an `Abort` of an EOFError, such as that of a damaged file."""
    if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
        return True
    return type(causes[0]).__name__ == "Abort" and not any(isinstance(cause, EOFError) for cause in causes)


def _bad_input(cause: BaseException, arguments: Sequence[str]) -> str | None:
    """What the user can change about a cause; None where it is not in their hands."""
    if isinstance(cause, InputError):
        return str(cause)
    if hasattr(cause, "format_message"):  # typer's: an unknown command, a bad option
        return f"{cause.format_message()}{_given(cause, arguments)}"
    if isinstance(cause, ModuleNotFoundError) and (extra := EXTRA_OF.get((cause.name or "").partition(".")[0])):
        return needs(_command(arguments), extra)
    if isinstance(cause, MemoryError):
        return "this machine has too little memory for it"
    if isinstance(cause, OSError) and cause.errno is not None:
        return _of_the_machine(cause)
    if isinstance(cause, RuntimeError) and "home directory" in str(cause):
        return "no home folder: set HOME"
    return None


def _given(error: BaseException, arguments: Sequence[str]) -> str:
    """The value that an option was given, which typer leaves out of some messages."""
    flags = getattr(getattr(error, "param", None), "opts", [])
    words = [word for argument in arguments for word in (argument.split("=", 1) if "=" in argument else [argument])]
    values = [value for flag, value in pairwise(words) if flag in flags]
    return f" (given: {shown(values[-1])})" if values and values[-1] not in str(error) else ""


def _of_the_machine(error: OSError) -> str:
    reason = error.strerror or os.strerror(error.errno or 0)
    if error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
        return f"{name}: {reason}"
    return f"cannot write: {reason}" if error.errno in DISK else reason


def _command(arguments: Sequence[str]) -> str:
    """The command as the user wrote it: `forescale train`."""
    return " ".join(["forescale", *[word for word in arguments if not word.startswith("-")][:1]])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it came from, nearest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _how_to_report() -> str:
    return (
        f"this is a fault of forescale {version()}; report it{_where()} with what the same command prints under --debug"
    )


def _where() -> str:
    """Where faults are reported, as the package's metadata say."""
    try:
        urls = importlib.metadata.metadata("forescale").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    known = dict(url.lower().split(", ", 1) for url in urls if ", " in url)
    return next((f" at {known[label]}" for label in ("issues", "bug tracker", "changelog") if label in known), "")


def version() -> str:
    """The version of the installed package."""
    try:
        return importlib.metadata.version("forescale")
    except importlib.metadata.PackageNotFoundError:
        return "of a source tree that is not installed"


def _one_line(text: str) -> str:
    """Text without line breaks and control characters, which a terminal would obey."""
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "?" for sign in line)[:MOST_CHARACTERS]


def _drop_unwritten() -> None:
    """Write out what stdout still holds, or drop it if that fails."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        abandon(sys.stdout)


_told_by_threads: set[str] = set()
"""Lines that need not be told again when the command itself fails of the same: TensorBoard writes in a thread."""


def _tell_of_thread(error: BaseException | None) -> None:
    line = outcome(error, ())[1] if error is not None else "internal error: a thread ended"
    if line:
        _told_by_threads.add(line)
        say(f"forescale: {line}")


def _tell_unraisable(error: BaseException | None) -> None:
    """Nothing: what fails while Python clears up has no effect, except Ctrl-C, which must not be lost."""
    if isinstance(error, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.01)


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    tell(error, sys.argv[1:], debug=False)
