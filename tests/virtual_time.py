"""Hours in no time: an event loop whose clock jumps to the next timer when nothing else is left to do.

On it a sleep ends when all that can happen before has happened, however busy the machine is, so bounds on time can be
asserted exactly. Work in threads is waited for. It is not for sockets and processes: what comes from them is not seen
coming, and the clock would jump ahead of it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")

BEGINNING_S = 1000.0
"""What the clock shows first."""

THREAD_LOOK_S = 0.01
"""In real time, how often it is looked whether a thread is done."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time; `now_s` is its clock."""

    def __init__(self) -> None:
        self.now_s = BEGINNING_S
        self.working = 0
        """Calls in threads that have not ended."""
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Seconds on its clock."""
        return self.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """As any loop does; the clock stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self.working += 1
        future.add_done_callback(self._note_done)
        return future

    def _note_done(self, _: object) -> None:
        self.working -= 1


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: it puts the clock forward instead."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        """What has come; without a timer it is waited for."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self._loop.working:
            return super().select(THREAD_LOOK_S)
        events = super().select(0)
        if not events:
            self._loop.now_s += timeout
        return events


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, on virtual time, which `time.monotonic` tells meanwhile too."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        with mock.patch("time.monotonic", loop.time):
            return runner.run(main)
