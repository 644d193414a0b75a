"""Reads long answers in a thread, one at a time, so that nothing else waits for it.

A thread keeps the event loop from running for as long as one call into the JSON reader takes: a few milliseconds for
the longest answer that is taken. Several threads at once could do so one after the other.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

MOST_AT_ONCE_BYTES = 16 * 1024
"""A body up to this length is read on the event loop, within a millisecond (chosen)."""

P = ParamSpec("P")
T = TypeVar("T")


class OffLoop:
    """Runs the readers of bodies."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def read(self, body: bytes, reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a reader makes of its arguments, of which the body is one."""
        if len(body) <= MOST_AT_ONCE_BYTES:
            return reader(*args, **kwargs)
        async with self._one_at_a_time:
            return await asyncio.to_thread(reader, *args, **kwargs)
