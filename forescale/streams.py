"""Standard streams that cannot fail a command: absent ones, terminals without UTF-8, and what libraries would print."""

import io
import os
import sys
import warnings
from typing import TextIO

from forescale.stand_ins import register


def prepare(debug: bool) -> None:
    """Make stdin, stdout and stderr usable; call it once, before anything is read or printed.

    A sign that a stream cannot show becomes the one that `forescale.stand_ins` has for it, or `?`. Library warnings are
    hidden unless `debug` or Python's own -W and PYTHONWARNINGS ask for them.
    """
    _open_missing()
    _buffer_stdout()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=register())
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")


def abandon(stream: TextIO) -> None:
    """Send the rest of a stream to nowhere, so that the flush at exit does not fail a second time."""
    try:
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except (AttributeError, OSError, ValueError):  # ValueError: a stream without a file, as in tests
        return


def _open_missing() -> None:
    """Open each of the three that is closed on /dev/null: else the next file would get its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


def _buffer_stdout() -> None:
    """Give stdout lines to write at once under PYTHONUNBUFFERED, too.

    Without a buffer Python drops in silence what a disk that is nearly full did not take of a write.
    """
    if isinstance(getattr(sys.stdout, "buffer", None), io.RawIOBase):
        number, encoding = sys.stdout.fileno(), sys.stdout.encoding
        sys.stdout = open(number, "w", buffering=1, encoding=encoding, closefd=False)  # noqa: SIM115 - open until the end
