"""Much work in short turns of the event loop: events one in a turn, and long rows of items a little at a time.

Thousands of events can come at once, and anybody may have written what they tell. Between two of them everything else
in the loop gets its turn, such as the renewal of the Lease.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

TURN_S = 0.01
"""How long a row of items goes on before others have their turn (chosen: a fifth of the longest that is allowed)."""

Take = Callable[[str | None, Mapping[str, Any]], None]
"""Takes an event in: its type and the body."""


class Turns:
    """A queue in front of whoever takes events; call it in the event loop, in the order of the events."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._waiting: deque[tuple[str | None, Mapping[str, Any]]] = deque()

    def __call__(self, event: str | None, body: Mapping[str, Any]) -> None:
        """Queue an event."""
        self._waiting.append((event, body))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Take one in; the next turn is asked for first, so that an event that fails does not end the others'."""
        if len(self._waiting) > 1:
            asyncio.get_running_loop().call_soon(self._next)
        self._take(*self._waiting.popleft())


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; between two of them others have their turn when it is time."""
    until_s = time.perf_counter() + TURN_S
    for item in items:
        yield item
        if time.perf_counter() > until_s:
            await asyncio.sleep(0)
            until_s = time.perf_counter() + TURN_S
