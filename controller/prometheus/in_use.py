"""What is worked out about queries, kept for as long as they are asked."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

TURN_S = 600.0
"""Chosen: twice the longest interval between decisions, so that nothing that is asked at its interval is dropped."""

MOST_NEW = 1000
"""Keys that were asked for once only and are kept (chosen: 2 MiB of queries). Policies that come and go by the thousand
leave no more behind."""


FILTER_BITS = 2**20
"""Of a filter of dropped keys, 128 KiB. Of 40,000 dropped ones 0.6 % of the new ones are then taken for one of them."""


class InUse(Generic[K, V]):
    """Values by their keys in two generations: of keys that were asked for since the last turn, and before it.

    A turn drops the older. So a value is kept for one turn after its last use, for two at most, and as much is kept as
    is in use, however many keys come and go. Of more new keys than `MOST_NEW` the first are dropped; one that is asked
    for again is in use, is worked out once more, and stays.
    """

    def __init__(self, work_out: Callable[[K], V], clock: Callable[[], float]) -> None:
        """`clock`: seconds, of which turns take `TURN_S`; one that jumps costs a turn."""
        self._work_out, self._clock = work_out, clock
        self._turned_s = clock()
        self._once: dict[K, V] = {}
        """Asked for once, the first one first."""
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._dropped = _Filter(), _Filter()
        """New keys that were dropped, of this turn and the one before."""

    def of(self, key: K) -> V:
        """The value of a key, worked out now where it is not kept."""
        if not 0 <= self._clock() - self._turned_s < TURN_S:
            self._turn()
        if key not in self._new:
            for kept in (self._once, self._old):
                if key in kept:
                    self._new[key] = kept.pop(key)
                    break
            else:
                return self._begin(key)
        return self._new[key]

    def drop(self, key: K) -> None:
        """Keep the value of a key no longer."""
        for kept in (self._once, self._new, self._old):
            kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._once) + len(self._new) + len(self._old)

    def _begin(self, key: K) -> V:
        value = self._work_out(key)
        if any(key in dropped for dropped in self._dropped):
            self._new[key] = value
            return value
        self._once[key] = value
        if len(self._once) > MOST_NEW:
            first = next(iter(self._once))
            del self._once[first]
            self._dropped[0].add(first)
        return value

    def _turn(self) -> None:
        self._turned_s = self._clock()
        self._old, self._new, self._once = {**self._new, **self._once}, {}, {}
        self._dropped = _Filter(), self._dropped[0]


class _Filter:
    """A Bloom filter with two bits for each key: says of all that were added that they were, and of few others."""

    def __init__(self) -> None:
        self._bits = bytearray(FILTER_BITS // 8)

    def __contains__(self, key: Hashable) -> bool:
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(key))

    def add(self, key: Hashable) -> None:
        for place in _places(key):
            self._bits[place >> 3] |= 1 << (place & 7)


def _places(key: Hashable) -> tuple[int, int]:
    number = hash(key)
    return number % FILTER_BITS, (number >> 24) % FILTER_BITS
