"""Events taken in one after the other, each in a turn of the event loop of its own.

Thousands of events can come at once, and anybody may have written what they tell. Between two of them everything else
in the loop gets its turn, such as the renewal of the Lease.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

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
