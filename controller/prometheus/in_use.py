"""What is worked out about queries, kept for as long as they are asked."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TURN_S = 600.0
"""Chosen: twice the longest interval between decisions, so that nothing that is asked at its interval is dropped."""


class InUse(Generic[K, V]):
    """Values by their keys in two generations: of keys that were asked for since the last turn, and before it.

    A turn drops the older. So a value is kept for one turn after its last use, for two at most, and as much is kept as
    is in use, however many keys come and go.
    """

    def __init__(self, work_out: Callable[[K], V], clock: Callable[[], float]) -> None:
        """`clock`: seconds, of which turns take `TURN_S`; one that jumps costs a turn."""
        self._work_out, self._clock = work_out, clock
        self._turned_s = clock()
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def of(self, key: K) -> V:
        """The value of a key, worked out now where it is not kept."""
        if not 0 <= self._clock() - self._turned_s < TURN_S:
            self._turned_s, self._old, self._new = self._clock(), self._new, {}
        if key not in self._new:
            self._new[key] = self._old.pop(key) if key in self._old else self._work_out(key)
        return self._new[key]

    def __len__(self) -> int:
        return len(self._new) + len(self._old)
