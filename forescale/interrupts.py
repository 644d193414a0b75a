"""Ctrl-C that is not lost: libraries written in C swallow the exception now and then while they are loaded."""

import signal
from types import FrameType

AGAIN_S = 0.3
"""Pause before an interrupt that came while a module was loaded is raised again, until the command has ended."""


def catch() -> None:
    """Raise KeyboardInterrupt on SIGINT, and again if it came while a module was loaded."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)


def settle() -> None:
    """Raise nothing any more: the command has ended."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_loading(frame):  # else somebody may be saving their work, which takes as long as it takes
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def _is_loading(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
